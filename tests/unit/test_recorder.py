"""Notes are written in order, in batches, for as long as it takes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from adapters.memory import MemoryBroker
from adapters.memory_ledger import MemoryLedger
from application.crew import Crew
from application.recorder import BATCH, BATCH_BYTES, Recorder
from application.shard_ledger import ShardLedger
from application.shards import ShardState
from application.tick import Tick
from domain.ledger import Deferral, LedgerRecord, Note, State, Tombstone, Written
from domain.log import Shard
from tests.engine_parts import SHARD, end_at_once, record
from tests.fakes import FakeClock

OTHER = Shard("transactions", 1)


def note(offset: int) -> LedgerRecord:
    return LedgerRecord(offset=offset, request_id=f"id-{offset}", digest=1, state=State.SENT, low=0, at=0.0)


class CountingLedger(MemoryLedger):
    """Keeps how many notes came at a time."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker, "email")
        self.calls: list[int] = []

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        self.calls.append(len(notes))
        return await super().write(shard, notes)


@dataclass
class Desk:
    clock: FakeClock = field(default_factory=FakeClock)
    written: list[tuple[Shard, Written]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.clock)
        self.ledger = CountingLedger(self.broker)
        tick = Tick(self.clock, 1.0, 1e9, end_at_once)
        self.recorder = Recorder(self.ledger, self.clock, tick, self.keep)
        self.state = ShardState(SHARD, ShardLedger(10))
        self.other = ShardState(OTHER, ShardLedger(10))

    def keep(self, state: ShardState, batch: Sequence[Written]) -> None:
        self.written += [(state.shard, written) for written in batch]

    @property
    def offsets(self) -> list[int]:
        return [w.note.offset for _, w in self.written if isinstance(w.note, LedgerRecord)]


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    async with Crew() as crew:
        made.recorder.start(crew)
        yield made


async def test_what_is_answered_in_one_turn_is_written_together() -> None:
    async with desk() as it:
        for offset in range(7):
            it.recorder.put(it.state, note(offset))
        await it.clock.settle()

    assert it.ledger.calls == [7]
    assert [written.position for _, written in it.written] == list(range(7))


async def test_a_batch_is_bounded_in_notes_and_in_bytes() -> None:
    async with desk() as it:
        for offset in range(BATCH + 1):
            it.recorder.put(it.state, note(offset))
        large = record(0, value=b"x" * (BATCH_BYTES // 2))
        for _ in range(3):
            it.recorder.put(it.other, Deferral(record=large))
        await it.clock.settle()

    assert sorted(it.ledger.calls) == [1, 1, 1, 1, BATCH]


async def test_what_is_not_confirmed_is_written_again_and_told_once_and_in_order() -> None:
    async with desk() as it:
        it.broker.loses_answers = True
        it.recorder.put(it.state, note(1))
        await it.clock.settle()
        it.recorder.put(it.state, note(2))
        assert (it.offsets, it.recorder.unrecorded) == ([], 2)

        it.broker.loses_answers = False
        await it.clock.advance(5.0)

    assert (it.offsets, it.recorder.unrecorded) == ([1, 2], 0)
    kept = [n.offset for n in it.broker.ledgers["email", SHARD].notes if isinstance(n, LedgerRecord)]
    assert kept == [1, 1, 2]  # a second copy says the same


async def test_pauses_grow_while_the_ledger_is_away() -> None:
    async with desk() as it:
        it.broker.down = True
        it.recorder.put(it.state, note(1))
        await it.clock.advance(3600.0)
        assert 3600 / 5 < len(it.ledger.calls) < 3600 / 5 + 10

        it.broker.down = False
        await it.clock.advance(5.0)
    assert it.offsets == [1]


async def test_a_shard_whose_ledger_is_written_does_not_wait_for_another_shard() -> None:
    async with desk() as it:
        it.broker.down = True
        it.recorder.put(it.state, note(1))
        await it.clock.advance(10.0)
        it.broker.down = False

        it.recorder.put(it.other, note(2))
        await it.clock.settle()

        assert it.offsets == [2]


async def test_only_ledger_records_count_as_unrecorded() -> None:
    async with desk() as it:
        it.broker.down = True
        it.recorder.put(it.state, note(1))
        it.recorder.put(it.state, Deferral(record=record(2)))
        it.recorder.put(it.state, Tombstone(3))

        assert it.recorder.unrecorded == 1
        it.recorder.cut_off({SHARD})
        assert it.recorder.unrecorded == 0


async def test_what_is_cut_off_is_not_told_of_and_not_tried_again() -> None:
    async with desk() as it:
        it.broker.down = True
        it.recorder.put(it.state, note(1))
        await it.clock.settle()

        it.recorder.cut_off({SHARD})
        it.broker.down = False
        await it.clock.advance(60.0)

    assert (it.written, it.broker.ledgers) == ([], {})


async def test_nothing_is_noted_of_a_shard_that_is_anothers() -> None:
    async with desk() as it:
        it.state.gone = True
        it.recorder.put(it.state, note(1))
        await it.clock.settle()

    assert (it.ledger.calls, it.recorder.unrecorded) == ([], 0)


async def test_it_is_quiet_once_all_is_safe() -> None:
    async with desk() as it:
        it.broker.down = True
        it.recorder.put(it.state, note(1))
        waiting = asyncio.create_task(it.recorder.quiet({SHARD}))
        await it.recorder.quiet({OTHER})
        await it.clock.advance(10.0)
        assert not waiting.done()

        it.broker.down = False
        await it.clock.advance(5.0)
        assert waiting.done()
