"""What waits for the log: calls, their records in order, and how much of it there may be."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from domain.log import Headers, Receipt, Shard, Unconfirmed

RECORD_OVERHEAD = 100  # bytes; what a waiting record costs beside its key and value
MOST_RECORDS = 10_000  # of one batch


class Writable(Protocol):
    """What can be written: a `NewRecord`, or a record whose value may be null."""

    @property
    def shard(self) -> Shard: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Call:
    """One call's answers, in the order of its records. It ends when all are there, or is given up."""

    __slots__ = ("_lost", "_open", "answers", "done", "ended")

    def __init__(self, size: int) -> None:
        self.answers: list[Receipt | Unconfirmed | None] = [None] * size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = False
        self._open = size
        self._lost: set[Shard] = set()

    def lives(self, shard: Shard) -> bool:
        """Whether a record of that shard is still wanted: order ends at the first unconfirmed one."""
        return not self.ended and shard not in self._lost

    def confirm(self, index: int, offset: int) -> None:
        self._answer(index, Receipt(offset))

    def lose(self, index: int, shard: Shard, reason: str) -> None:
        self._lost.add(shard)
        self._answer(index, Unconfirmed(reason))

    def end(self, reason: str) -> Sequence[Receipt | Unconfirmed]:
        """All answers; what is still open is unconfirmed for this reason."""
        self.ended = True
        return [Unconfirmed(reason) if answer is None else answer for answer in self.answers]

    def _answer(self, index: int, answer: Receipt | Unconfirmed) -> None:
        if self.ended or self.answers[index] is not None:
            return
        self.answers[index] = answer
        self._open -= 1
        if not self._open and not self.done.done():
            self.done.set_result(None)


class Waiting:
    """A record that waits for its batch, and the place of its answer."""

    __slots__ = ("call", "index", "record", "size")

    def __init__(self, record: Writable, call: Call, index: int) -> None:
        self.record = record
        self.call = call
        self.index = index
        self.size = len(record.key or b"") + len(record.value or b"") + RECORD_OVERHEAD


class Backlog:
    """How much may wait at once, over all shards."""

    def __init__(self, records: int, size: int) -> None:
        self._records = records
        self._bytes = size

    def admits(self, waiting: Waiting) -> bool:
        """Takes the record in, if there is room."""
        if self._records < 1 or self._bytes < waiting.size:
            return False
        self._records -= 1
        self._bytes -= waiting.size
        return True

    def leaves(self, waiting: Waiting) -> None:
        self._records += 1
        self._bytes += waiting.size


class ShardQueue:
    """The records of one shard that no batch has taken yet."""

    def __init__(self, shard: Shard, backlog: Backlog) -> None:
        self.shard = shard
        self.is_served = False
        self._backlog = backlog
        self._waiting: deque[Waiting] = deque()
        self._most = MOST_RECORDS

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> bool:
        """Queues the record; False when too much is waiting already."""
        if not self._backlog.admits(waiting):
            return False
        self._waiting.append(waiting)
        return True

    def fill(self, batch: Any) -> list[Waiting]:
        """Moves what fits into aiokafka's batch, in order; drops what nobody waits for any more."""
        taken: list[Waiting] = []
        while self._waiting and len(taken) < self._most:
            waiting = self._waiting[0]
            if not waiting.call.lives(self.shard):
                self._drop(waiting, "an earlier record of the partition was not confirmed")
            elif (fits := self._fits(batch, waiting.record)) is None:
                self._drop(waiting, "the record cannot be written in Kafka's form")
            elif fits:
                taken.append(waiting)
            else:
                break
            self._waiting.popleft()
        return taken

    def lose_all(self, reason: str) -> None:
        """Nothing that waits will be written."""
        while self._waiting:
            self._drop(self._waiting.popleft(), reason)

    def confirm(self, taken: Sequence[Waiting], first_offset: int) -> None:
        """The log has them, one after the other from `first_offset` on."""
        self._most = min(2 * self._most, MOST_RECORDS)
        for place, waiting in enumerate(taken):
            self._backlog.leaves(waiting)
            waiting.call.confirm(waiting.index, first_offset + place)

    def lose(self, taken: Sequence[Waiting], reason: str) -> None:
        """Whether the log has them is not known."""
        for waiting in taken:
            self._backlog.leaves(waiting)
            waiting.call.lose(waiting.index, self.shard, reason)

    def put_back(self, taken: Sequence[Waiting]) -> None:
        """None of them was written, because together they were too large: next time half as many."""
        self._most = max(1, len(taken) // 2)
        self._waiting.extendleft(reversed(taken))

    def _drop(self, waiting: Waiting, reason: str) -> None:
        self._backlog.leaves(waiting)
        waiting.call.lose(waiting.index, self.shard, reason)

    @staticmethod
    def _fits(batch: Any, record: Writable) -> bool | None:
        """Whether the batch took the record; None when no batch ever can."""
        try:
            added = batch.append(
                timestamp=None, key=record.key, value=record.value, headers=list(record.headers)
            )
        except (TypeError, ValueError):
            return None
        return added is not None
