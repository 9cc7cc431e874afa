"""What a process is told of the shards that it gets and gives back."""

import asyncio

import pytest

from adapters.kafka_membership import Membership
from domain.log import Assigned, Lost, Revoking, Shard

ONE, TWO = Shard("transactions", 1), Shard("transactions", 2)
BOTH = frozenset({ONE, TWO})


class Wakes:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def membership() -> Membership:
    return Membership(Wakes())


def ask_back(membership: Membership, seconds: float = 20.0) -> asyncio.Future[None]:
    answer = membership.ask_back(seconds)
    assert answer is not None
    return answer


async def test_shards_are_told_once(membership: Membership) -> None:
    membership.assign(BOTH)

    assert membership.next_event() == Assigned(BOTH)
    assert membership.next_event() is None
    assert membership.is_joined


async def test_an_empty_assignment_joins_and_tells_nothing(membership: Membership) -> None:
    membership.assign(frozenset())

    assert membership.is_joined
    assert membership.next_event() is None


async def test_shards_asked_back_are_ours_until_released(membership: Membership) -> None:
    membership.assign(BOTH)
    membership.next_event()
    answer = ask_back(membership)
    told = membership.next_event()
    during = (membership.shards, membership.is_open, membership.is_joined)
    membership.release({ONE})
    half = answer.done()
    membership.release({TWO})
    late = membership.take_back()

    assert told == Revoking(BOTH, 20.0)
    assert during == (BOTH, False, False)
    assert not half
    assert answer.done()
    assert late == frozenset()
    assert membership.shards == frozenset()
    assert membership.is_open
    assert membership.next_event() is None


async def test_what_was_not_released_in_time_is_lost(membership: Membership) -> None:
    membership.assign(BOTH)
    membership.next_event()
    ask_back(membership)
    membership.next_event()
    membership.release({ONE})
    late = membership.take_back()

    assert late == {TWO}
    assert membership.next_event() == Lost(frozenset({TWO}))


async def test_a_question_nobody_heard_in_time_is_replaced_by_the_loss(membership: Membership) -> None:
    membership.assign(BOTH)
    membership.next_event()
    ask_back(membership)
    membership.take_back()

    assert membership.next_event() == Lost(BOTH)
    assert membership.next_event() is None


async def test_shards_nobody_knows_of_yet_go_back_without_a_question(membership: Membership) -> None:
    membership.assign(BOTH)
    answer = membership.ask_back(20.0)

    assert answer is None
    assert membership.next_event() is None
    assert membership.shards == frozenset()


async def test_without_shards_there_is_nothing_to_ask(membership: Membership) -> None:
    assert membership.ask_back(20.0) is None


async def test_an_answer_that_comes_too_late_does_not_count_for_the_next_question(
    membership: Membership,
) -> None:
    membership.assign(BOTH)
    membership.next_event()
    membership.release(BOTH)
    answer = ask_back(membership)
    membership.release(BOTH)

    assert not answer.done()


async def test_a_member_thrown_out_loses_all_at_once(membership: Membership) -> None:
    membership.assign(BOTH)
    membership.next_event()
    lost = membership.lose()

    assert lost == BOTH
    assert membership.next_event() == Lost(BOTH)
    assert not membership.is_joined
    assert membership.lose() == frozenset()


async def test_a_member_thrown_out_while_it_gives_back_loses_the_rest(membership: Membership) -> None:
    membership.assign(BOTH)
    membership.next_event()
    answer = ask_back(membership)
    membership.next_event()
    membership.release({ONE})
    lost = membership.lose()

    assert answer.done()
    assert lost == {TWO}
    assert membership.take_back() == frozenset()


async def test_shards_lost_before_anybody_knew_of_them_are_not_told(membership: Membership) -> None:
    membership.assign(BOTH)

    assert membership.lose() == frozenset()
    assert membership.next_event() is None


async def test_the_reader_is_woken_for_each_event() -> None:
    wakes = Wakes()
    membership = Membership(wakes)
    membership.assign(BOTH)
    membership.next_event()
    ask_back(membership)
    membership.lose()

    assert wakes.count == 3
