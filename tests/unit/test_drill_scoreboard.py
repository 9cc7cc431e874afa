from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.drill_scoreboard import Excuse, Scoreboard


def board(*promises: tuple[str, str | None]) -> Scoreboard:
    """Each promised at the second of its place, for one channel."""
    one = Scoreboard(["email"])
    for at, (request_id, key) in enumerate(promises):
        one.promise(request_id, key, float(at))
    return one


def arrive(one: Scoreboard, request_ids: Sequence[str], start: float = 10.0) -> Scoreboard:
    """One a second."""
    for number, request_id in enumerate(request_ids):
        one.arrive("email", request_id, start + number)
    return one


ABC = (("a", "k"), ("b", "k"), ("c", "k"))


def test_what_was_promised_and_arrived_once_in_order_holds() -> None:
    tally = arrive(board(*ABC), ["a", "b", "c"]).tally("email")

    assert (tally.produced, tally.delivered, tally.lost) == (3, 3, 0)
    assert (tally.duplicated, tally.beyond, tally.out_of_order) == (0, 0, 0)
    assert tally.holds


def test_what_was_promised_and_did_not_arrive_is_lost() -> None:
    tally = arrive(board(*ABC), ["a", "c"]).tally("email")

    assert (tally.lost, tally.delivered, tally.holds) == (1, 2, False)


def test_what_is_lost_is_not_out_of_order_as_well() -> None:
    assert arrive(board(*ABC), ["a", "c"]).tally("email").out_of_order == 0


def test_a_channel_is_judged_by_what_arrived_there_alone() -> None:
    one = Scoreboard(["email", "sms"])
    one.promise("a", None, 0.0)
    one.arrive("email", "a", 1.0)

    assert (one.tally("email").lost, one.tally("sms").lost) == (0, 1)


def test_what_arrived_before_its_202_was_read_is_delivered() -> None:
    one = arrive(board(), ["a"], start=1.0)
    one.promise("a", "k", 2.0)

    tally = one.tally("email")
    assert (tally.delivered, tally.lost, tally.longest_delay) == (1, 0, 0.0)


def test_what_never_had_a_202_is_neither_produced_nor_delivered() -> None:
    tally = arrive(board(("a", None)), ["a", "stranger"]).tally("email")

    assert (tally.produced, tally.delivered, tally.holds) == (1, 1, True)


def test_a_second_202_for_one_message_changes_nothing() -> None:
    one = board(("a", "k"), ("b", "k"), ("a", "k"))

    assert arrive(one, ["a", "b"]).tally("email").out_of_order == 0
    assert one.promised == 2


def test_a_first_delivery_after_that_of_a_later_one_of_its_key_is_out_of_order() -> None:
    assert arrive(board(*ABC), ["b", "a", "c"]).tally("email").out_of_order == 1


def test_each_message_that_was_overtaken_counts() -> None:
    assert arrive(board(*ABC), ["c", "a", "b"]).tally("email").out_of_order == 2


def test_a_repeat_that_comes_late_is_not_out_of_order() -> None:
    tally = arrive(board(*ABC), ["a", "b", "c", "a"]).tally("email")

    assert (tally.out_of_order, tally.duplicated) == (0, 1)


def test_a_repeat_in_front_does_not_make_the_first_delivery_behind_it_right() -> None:
    tally = arrive(board(*ABC), ["b", "b", "a", "c"]).tally("email")

    assert (tally.out_of_order, tally.duplicated) == (1, 1)


def test_messages_of_other_keys_and_without_one_may_overtake() -> None:
    one = board(("a", "k"), ("x", "other"), ("f", None), ("g", None))

    assert arrive(one, ["g", "f", "x", "a"]).tally("email").out_of_order == 0


def test_a_repeat_that_nothing_excuses_is_beyond_the_bound() -> None:
    tally = arrive(board(*ABC), ["a", "b", "c", "c"]).tally("email")

    assert (tally.beyond, tally.holds) == (1, False)


def killed(one: Scoreboard, since: float, until: float, most: int) -> Excuse:
    excuse = Excuse(since=since, until=until, most=most)
    one.excuse("email", excuse)
    return excuse


def test_a_kill_excuses_as_many_repeats_as_it_may_cause_and_no_more() -> None:
    one = arrive(board(*ABC), ["a", "b", "c"])
    excuse = killed(one, since=13.0, until=15.0, most=2)
    arrive(one, ["a", "b", "c"], start=20.0)

    tally = one.tally("email")
    assert one.repeats_of("email", excuse) == 3
    assert (tally.duplicated, tally.beyond) == (3, 1)


def test_a_kill_does_not_excuse_what_was_sent_again_before_it() -> None:
    one = arrive(board(*ABC), ["a", "a"], start=10.0)
    killed(one, since=11.5, until=15.0, most=10)

    assert one.tally("email").beyond == 1


def test_a_kill_does_not_excuse_a_repeat_of_what_the_next_process_sent() -> None:
    one = board(*ABC)
    killed(one, since=5.0, until=8.0, most=10)
    arrive(one, ["a", "a"], start=10.0)

    assert one.tally("email").beyond == 1


def test_what_was_on_its_way_at_the_kill_may_be_repeated() -> None:
    one = board(*ABC)
    killed(one, since=5.0, until=8.0, most=1)
    one.arrive("email", "a", 5.1)
    one.arrive("email", "a", 9.0)

    assert one.tally("email").beyond == 0


def test_each_kill_explains_its_own_repeats() -> None:
    one = arrive(board(*ABC), ["a"], start=1.0)
    first = killed(one, since=2.0, until=3.0, most=1)
    arrive(one, ["a"], start=4.0)
    second = killed(one, since=5.0, until=6.0, most=1)
    arrive(one, ["a"], start=7.0)

    assert [one.repeats_of("email", excuse) for excuse in (first, second)] == [1, 1]
    assert one.tally("email").beyond == 0


def test_a_kill_of_one_channel_excuses_nothing_of_another() -> None:
    one = Scoreboard(["email", "sms"])
    one.excuse("sms", Excuse(since=0.0, until=9.0, most=5))
    one.promise("a", None, 0.0)
    one.arrive("email", "a", 1.0)
    one.arrive("email", "a", 2.0)

    assert one.tally("email").beyond == 1


def test_the_longest_delay_is_from_a_202_to_the_first_arrival() -> None:
    one = arrive(board(*ABC), ["a", "b", "c", "a"], start=3.0)

    assert one.tally("email").longest_delay == 3.0


def test_draining_is_from_the_last_202_to_the_last_first_arrival() -> None:
    one = arrive(board(*ABC), ["a", "b", "c", "a"], start=3.0)

    assert one.tally("email").drained_in == 3.0


def test_while_it_runs_it_tells_what_is_still_missing_of_what_was_promised_so_far() -> None:
    one = arrive(board(*ABC), ["b"])

    assert [one.missing("email", promised) for promised in (0, 1, 2, 3)] == [0, 1, 1, 2]
    assert (one.waiting("email"), one.arrived("email"), one.promised) == (2, 1, 3)


@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=8))
def test_repeats_never_change_what_counts_as_out_of_order(order: list[int], again: list[int]) -> None:
    promises = [(f"m{n}", f"k{n % 2}") for n in range(12)]
    once = arrive(board(*promises), [f"m{n}" for n in order])
    with_repeats = arrive(arrive(board(*promises), [f"m{n}" for n in order]), [f"m{n}" for n in again], 50.0)

    assert with_repeats.tally("email").out_of_order == once.tally("email").out_of_order
    assert with_repeats.tally("email").duplicated == len(again)


@pytest.mark.parametrize("swapped", range(5))
def test_one_swap_within_a_key_is_always_found(swapped: int) -> None:
    order = [f"m{n}" for n in range(6)]
    order[swapped], order[swapped + 1] = order[swapped + 1], order[swapped]

    assert arrive(board(*((f"m{n}", "k") for n in range(6))), order).tally("email").out_of_order == 1
