"""Writes the notes of each shard, in order and in batches, for as long as it takes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from application.crew import Crew
from application.shards import ShardState
from application.tick import Tick
from domain.discard import DISCARDED
from domain.errors import LogUnavailable
from domain.ledger import LedgerRecord, Note, Written, note_bytes
from domain.log import Shard
from domain.ports import Clock, DeliveryLedger

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
BATCH = 500
BATCH_BYTES = 1024 * 1024

logger = logging.getLogger("herald.ledger")


@dataclass(slots=True, eq=False)
class _Queue:
    state: ShardState
    notes: list[Note] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Recorder:
    """One write in flight a shard. `written` is called with what is safe, in the order of `put`."""

    def __init__(
        self,
        ledger: DeliveryLedger,
        clock: Clock,
        tick: Tick,
        written: Callable[[ShardState, Sequence[Written]], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._tick = tick
        self._written = written
        self._queues: dict[ShardState, _Queue] = {}
        self._emptied = asyncio.Event()
        self._crew: Crew | None = None
        self._silent = False
        self.unrecorded = 0  # tries that are not safe yet: a crash repeats those messages

    def start(self, crew: Crew) -> None:
        self._crew = crew

    def put(self, state: ShardState, note: Note) -> None:
        """Nothing is noted of a shard that is another's by now."""
        if state.gone:
            return
        queue = self._queues.get(state)
        if queue is None:
            assert self._crew is not None  # noqa: S101 - `start` comes first
            queue = self._queues[state] = _Queue(state)
            queue.task = self._crew.hire(self._write_all(queue))
        queue.notes.append(note)
        self.unrecorded += isinstance(note, LedgerRecord) and note.reason != DISCARDED

    async def quiet(self, shards: AbstractSet[Shard]) -> None:
        """Returns when all notes of these shards are safe."""
        while any(state.shard in shards for state in self._queues):
            self._emptied.clear()
            await self._emptied.wait()

    def cut_off(self, shards: AbstractSet[Shard]) -> None:
        """Drops what is not safe yet. It may be written all the same, if it was on its way."""
        for state in [state for state in self._queues if state.shard in shards]:
            queue = self._queues.pop(state)
            self.unrecorded -= _repeats(queue.notes)
            if queue.task is not None and self._crew is not None:
                self._crew.dismiss(queue.task)

    async def _write_all(self, queue: _Queue) -> None:
        await asyncio.sleep(0)  # what is answered in the same turn goes along
        while queue.notes and self._queues.get(queue.state) is queue:
            batch = _batch(queue.notes)
            positions = await self._write(queue, batch)
            if self._queues.get(queue.state) is not queue:
                return  # cut off, and the cancel was lost
            del queue.notes[: len(batch)]
            self.unrecorded -= _repeats(batch)
            written = [Written(position, note) for position, note in zip(positions, batch, strict=True)]
            self._written(queue.state, written)
        self._queues.pop(queue.state, None)
        self._emptied.set()

    async def _write(self, queue: _Queue, batch: Sequence[Note]) -> Sequence[int]:
        pause = FIRST_PAUSE
        while True:
            self._tick.check()
            try:
                positions = await self._ledger.write(queue.state.shard, batch)
            except LogUnavailable as error:
                self._note_silence(error)
            else:
                self._note_silence(None)
                return positions
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _note_silence(self, error: LogUnavailable | None) -> None:
        if error is not None and not self._silent:
            logger.warning("the ledger is not written: %s", error, extra={"action": "ledger_waits"})
        elif error is None and self._silent:
            logger.info("the ledger is written again", extra={"action": "ledger_written"})
        self._silent = error is not None


def _repeats(notes: Sequence[Note]) -> int:
    """How many may be sent again after a crash. What is discarded would only end once more."""
    return sum([isinstance(note, LedgerRecord) and note.reason != DISCARDED for note in notes])


def _batch(notes: Sequence[Note]) -> list[Note]:
    """The first notes, as many as go together; at least one."""
    batch = list(notes[:BATCH])
    size = 0
    for count, note in enumerate(batch):
        size += note_bytes(note)
        if count and size > BATCH_BYTES:
            return batch[:count]
    return batch
