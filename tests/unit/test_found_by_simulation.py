"""What random histories found in the engine, each as small as it gets."""

import asyncio
from collections.abc import Sequence

from adapters.memory import MemoryBroker
from adapters.memory_ledger import MemoryLedger
from application.engine_options import EngineOptions
from application.shards import HoldingLimits
from domain.dead_letter import FOR_GROUP
from domain.errors import LogUnavailable
from domain.ledger import Note
from domain.log import NewRecord, Shard
from domain.message import Message
from domain.outcome import Delivered, Outcome, Refused, TryAgain
from tests.engine_parts import TOPIC, World
from tests.fakes import ScriptedChannel


class RefusesWhenCancelled(ScriptedChannel):
    """Its library loses a cancel that comes with the answer."""

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        try:
            return await super().deliver(message, probe=probe)
        except asyncio.CancelledError:
            return Refused("550")


class LateLedger(MemoryLedger):
    """Cannot be written for its first ten seconds."""

    def __init__(self, broker: MemoryBroker, group: str) -> None:
        super().__init__(broker, group)
        self._clock = broker.clock
        self._until = broker.clock.monotonic() + 10.0

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        if self._clock.monotonic() < self._until:
            raise LogUnavailable("too few copies")
        return await super().write(shard, notes)


async def test_a_drain_ends_though_a_cancel_was_lost_and_the_letter_cannot_be_kept() -> None:
    # The worker went on to bury, and the drain waited for it as long as dead letters could not be kept.
    world = World(channel=RefusesWhenCancelled(), options=EngineOptions(concurrency=1, drain_seconds=2.0))
    world.channel.hold = asyncio.Event()
    world.dead_letters.away = True
    await world.post("m")

    async with world.running() as running:
        await running.drain(30.0)

        assert running.task.done()


async def test_a_letter_put_back_before_its_end_could_be_noted_is_sent() -> None:
    # It was taken for a repeat of the message that was still open, and so for nothing at all.
    world = World(ledger_type=LateLedger)
    world.channel.script.append(Refused("550"))
    await world.post("m")

    async with world.running():
        await world.clock.advance(1.0)
        [letter] = world.broker.letters
        world.broker.append(
            NewRecord(Shard(TOPIC, 0), None, letter.record.value or b"", ((FOR_GROUP, b"email"),))
        )
        await world.clock.advance(30.0)

    assert world.channel.sent == ["m"]


async def test_what_found_no_room_behind_a_deferred_one_is_put_off_when_there_is_room_again() -> None:
    # Only what was taken later was put off; the one without room held the position until its turn came.
    world = World(options=EngineOptions(concurrency=4, limits=HoldingLimits(deferred=2)))
    world.channel.script.extend([TryAgain("451", after=70.0), *[TryAgain("451", after=120.0)] * 3])
    await world.post("other")
    await world.post("fails", "second", key="a")

    async with world.running():
        await world.clock.advance(60.0)
        without_room = world.committed()
        world.channel.answer = lambda message: (
            TryAgain("451", after=120.0) if message.request_id == "fails" else Delivered()
        )
        await world.clock.advance(70.0)

        assert (without_room, world.committed()) == (2, 3)
        assert world.channel.sent == ["other"]
