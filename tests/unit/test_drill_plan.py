from itertools import islice
from random import Random

import pytest

from entrypoints.drill_plan import Act, Outage, at_random, in_turn


@pytest.mark.parametrize("together", [False, True])
def test_in_turn_every_part_is_taken_down_in_every_way(*, together: bool) -> None:
    outages = [outage for one in in_turn(5.0, broker=True, together=together) for outage in one]

    assert [outage.title for outage in outages] == [
        "mail server down",
        "SMS provider down",
        "mail server busy",
        "SMS provider busy",
        "email consumer SIGKILL",
        "sms consumer SIGKILL",
        "email consumer SIGTERM",
        "sms consumer SIGTERM",
        "broker stopped",
    ]


def test_on_kafka_both_consumers_are_killed_at_once() -> None:
    alone = in_turn(5.0, broker=False, together=False)
    together = in_turn(5.0, broker=False, together=True)

    assert [len(one) for one in alone] == [1, 1, 2, 1, 1, 2]
    assert [len(one) for one in together] == [1, 1, 2, 2, 2]


def test_without_commands_for_it_no_broker_is_touched() -> None:
    turns = [outage for one in in_turn(5.0, broker=False, together=False) for outage in one]
    drawn = [outage for one in islice(at_random(Random(1), broker=False), 200) for outage in one]

    assert {outage.act for outage in [*turns, *drawn]} == set(Act) - {Act.BROKER}


def test_the_same_seed_draws_the_same_outages() -> None:
    one, same, other = (list(islice(at_random(Random(seed), broker=True), 50)) for seed in (7, 7, 8))

    assert one == same
    assert one != other


def test_at_random_everything_comes_up_in_ten_minutes_worth_of_rounds() -> None:
    drawn = {(o.act, o.group) for one in islice(at_random(Random(3), broker=True), 60) for o in one}

    assert len(drawn) == 9


def test_nothing_is_taken_down_twice_in_one_round() -> None:
    rounds = list(islice(at_random(Random(5), broker=True), 500))

    assert [one for one in rounds if len({outage.what for outage in one}) < len(one)] == []


def test_an_outage_of_a_broker_concerns_all_channels_and_others_their_own() -> None:
    assert Outage(Act.BROKER, "", 1.0).channels == ("email", "sms")
    assert Outage(Act.KILL, "sms", 1.0).channels == ("sms",)
