"""Commits: bounded in time, never across a rebalance."""

import asyncio

import pytest
from aiokafka import TopicPartition, errors

from adapters.kafka_commit import Committer, Evicted
from domain.errors import LogUnavailable
from domain.log import Position
from tests.kafka.fakes import FakeBroker, FakeConsumer

P1 = TopicPartition("transactions", 1)
POSITIONS = {P1: Position(7, "1 2 3")}


def commit_failed(cause: BaseException) -> errors.CommitFailedError:
    error = errors.CommitFailedError("the group has already rebalanced")
    error.__cause__ = cause
    return error


@pytest.fixture
async def consumer() -> FakeConsumer:
    return FakeConsumer(FakeBroker(), {})


async def test_offset_and_metadata_are_committed(consumer: FakeConsumer) -> None:
    await Committer().commit(consumer, POSITIONS)

    assert consumer.commits == [{P1: (7, "1 2 3")}]


async def test_metadata_of_the_brokers_limit_is_kept_and_longer_one_left_out(consumer: FakeConsumer) -> None:
    # One partition's too long metadata would fail the commit of all.
    fits = "\N{GREEK SMALL LETTER OMEGA}" * 4096
    await Committer().commit(consumer, {P1: Position(7, fits)})
    await Committer().commit(consumer, {P1: Position(8, fits + "x")})

    assert consumer.commits == [{P1: (7, fits)}, {P1: (8, "")}]


async def test_a_commit_without_an_answer_ends_in_time(consumer: FakeConsumer) -> None:
    consumer.broker.hold = asyncio.Event()
    with pytest.raises(LogUnavailable, match="in time"):
        await Committer(seconds=0.01).commit(consumer, POSITIONS)


async def test_a_rebalance_cuts_a_running_commit_off(consumer: FakeConsumer) -> None:
    consumer.broker.hold = asyncio.Event()
    committer = Committer()
    running = asyncio.create_task(committer.commit(consumer, POSITIONS))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await committer.stop()
    consumer.broker.hold.set()

    with pytest.raises(LogUnavailable):
        await running
    assert consumer.commits == []


async def test_a_cancelled_commit_does_not_go_on(consumer: FakeConsumer) -> None:
    consumer.broker.hold = asyncio.Event()
    running = asyncio.create_task(Committer().commit(consumer, POSITIONS))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    consumer.broker.hold.set()
    await asyncio.sleep(0)

    assert consumer.commits == []


@pytest.mark.parametrize("cause", [errors.UnknownMemberIdError(), errors.IllegalGenerationError()])
async def test_a_member_that_the_group_does_not_know_was_thrown_out(
    consumer: FakeConsumer, cause: BaseException
) -> None:
    consumer.commit_answer = commit_failed(cause)
    with pytest.raises(Evicted):
        await Committer().commit(consumer, POSITIONS)


@pytest.mark.parametrize(
    "answer",
    [
        commit_failed(errors.RebalanceInProgressError()),
        errors.IllegalStateError("not assigned"),
        errors.TopicAuthorizationFailedError("transactions"),
    ],
)
async def test_every_other_refusal_may_be_tried_again(consumer: FakeConsumer, answer: BaseException) -> None:
    consumer.commit_answer = answer
    with pytest.raises(LogUnavailable, match="did not confirm"):
        await Committer().commit(consumer, POSITIONS)
