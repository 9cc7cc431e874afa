"""What a new owner of a shard finds where the last one ended between two of its writes."""

import json

from adapters.memory_ledger import MemoryLedger
from domain.ledger import Deferral, LedgerRecord, Note, State, Tombstone, digest_of
from domain.log import Position, Record
from tests.engine_parts import SHARD, World

START = 1_800_000_000.0


def value_of(request_id: str) -> bytes:
    return json.dumps({"request_id": request_id, "email": "a@example.test"}).encode()


def put(request_id: str, offset: int, *, attempts: int, due: float) -> Deferral:
    record = Record(SHARD, offset, b"k", value_of(request_id), (), START)
    return Deferral(record=record, attempts=attempts, due=due)


def note(request_id: str, offset: int, state: State, attempts: int = 0, uncertain: int = 0) -> LedgerRecord:
    return LedgerRecord(
        offset=offset,
        request_id=request_id,
        digest=digest_of(value_of(request_id)),
        state=state,
        attempts=attempts,
        uncertain=uncertain,
        low=1,
        at=START,
    )


async def left_behind(world: World, *notes: Note) -> None:
    """One message, which is put off and passed by the position; then these notes were written."""
    await world.post("a", key="k")
    world.broker.positions["email", SHARD] = Position(1, "1 0 0")
    await MemoryLedger(world.broker, "email").write(SHARD, notes)


async def test_a_lost_answer_that_no_deferral_carries_yet_is_waited_for_all_the_same() -> None:
    world = World()
    put_off = put("a", 0, attempts=3, due=START)
    await left_behind(world, put_off, note("a", 0, State.UNCERTAIN, attempts=3, uncertain=1))

    async with world.running() as running:
        await world.clock.advance(59.0)
        assert world.channel.asked == []
        await world.clock.advance(2.0)
        assert world.channel.sent == ["a"]
        await running.drain(1.0)

    [end] = [n for n in world.broker.ledgers["email", SHARD].notes if isinstance(n, LedgerRecord)][1:]
    assert (end.state, end.attempts, end.uncertain) == (State.SENT, 3, 1)


async def test_a_put_that_its_writer_gave_up_and_that_came_behind_the_tombstone_is_not_sent_again() -> None:
    world = World()
    late = put("a", 0, attempts=3, due=START)
    await left_behind(world, late, note("a", 0, State.SENT, attempts=3), Tombstone(0), late)
    world.broker.positions["email", SHARD] = Position(1, "1 0 2")

    async with world.running() as running:
        await world.clock.advance(5.0)
        await running.drain(1.0)

    assert world.channel.asked == []
    assert world.broker.deferrals["email", SHARD].notes[-1] == Tombstone(0)
