"""What waits for the log: calls, each shard's part of them in order, and how much of it there may be."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from domain.log import Headers, Receipt, Shard, Unconfirmed

RECORD_OVERHEAD = 100  # bytes; what a waiting record costs beside its key, value and headers
MOST_RECORDS = 10_000  # of one batch
_NO_FORM = "the record cannot be written in Kafka's form"
_NOBODY_WAITS = "it was given up before it was sent"

Answer = Receipt | Unconfirmed


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
    """One call's answers, in the order of its records: `answered` once all are there, or it is given up."""

    __slots__ = ("_answers", "_open", "answered", "ended")

    def __init__(self, size: int) -> None:
        self.answered: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        self.ended = False
        self._answers: list[Answer | None] = [None] * size
        self._open = size

    def confirm(self, places: Sequence[int], first_offset: int) -> None:
        """The records at these places have been written, one after the other."""
        for offset, place in enumerate(places, first_offset):
            self._answers[place] = Receipt(offset)
        self._count(len(places))

    def lose(self, places: Sequence[int], reason: str) -> None:
        for place in places:
            self._answers[place] = Unconfirmed(reason)
        self._count(len(places))

    def give_up(self, reason: str) -> None:
        """What has no answer yet is unconfirmed for this reason."""
        self.ended = True
        if not self.answered.done():
            answers = [Unconfirmed(reason) if answer is None else answer for answer in self._answers]
            self.answered.set_result(answers)

    def _count(self, answers: int) -> None:
        self._open -= answers
        if not self._open and not self.ended:
            self.give_up("each has its answer")


class Part:
    """One call's records for one shard, in order: first those answered, then those in a batch, then the rest.

    `places`: those of their answers in the call. `size`: in bytes, with `RECORD_OVERHEAD` for each.
    """

    __slots__ = ("_answered", "_batched", "_end", "_places", "_records", "call", "shard", "size")

    def __init__(self, shard: Shard, call: Call, records: Sequence[Writable], places: Sequence[int]) -> None:
        self.shard = shard
        self.call = call
        self.size = sum(map(_size, records))
        self._records = records
        self._places = places
        self._answered = 0
        self._batched = 0
        self._end = len(records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def is_batched(self) -> bool:
        """No record is left for another batch."""
        return self._batched == self._end

    @property
    def is_answered(self) -> bool:
        return self._answered == self._end

    @property
    def in_batch(self) -> int:
        return self._batched - self._answered

    def fill(self, batch: Any, most: int) -> int:
        """Moves what fits into aiokafka's batch, at most so many; how many it took."""
        before = self._batched
        last = min(self._end, before + most)
        try:
            while self._batched < last and self._fits(batch, self._records[self._batched]):
                self._batched += 1
        except Exception:  # noqa: BLE001 - whatever it is: raised, it kept this and other partitions from departing
            self._lose(self._batched, _NO_FORM)
        return self._batched - before

    def confirm(self, first_offset: int) -> int:
        """The log has what was in the batch; how many that were."""
        places = self._places[self._answered : self._batched]
        self._answered = self._batched
        self.call.confirm(places, first_offset)
        return len(places)

    def lose(self, reason: str) -> None:
        """What was in the batch is not confirmed, nor is what comes after it: order ends there."""
        self._lose(self._answered, reason)
        self._batched = self._answered

    def take_back(self) -> None:
        """What was in the batch was not written."""
        self._batched = self._answered

    def _lose(self, first: int, reason: str) -> None:
        places, self._end = self._places[first : self._end], first
        self.call.lose(places, reason)

    @staticmethod
    def _fits(batch: Any, record: Writable) -> bool:
        headers = list(record.headers)
        return batch.append(timestamp=None, key=record.key, value=record.value, headers=headers) is not None


def parts_of(records: Sequence[Writable], call: Call) -> Iterable[Part]:
    """The records by shard, each shard's in the order given."""
    if len(records) == 1:
        return (Part(records[0].shard, call, records, (0,)),)
    places: dict[Shard, list[int]] = {}
    for place, record in enumerate(records):
        places.setdefault(record.shard, []).append(place)
    return [Part(shard, call, [records[place] for place in own], own) for shard, own in places.items()]


def _size(record: Writable) -> int:
    size = len(record.key or b"") + len(record.value or b"") + RECORD_OVERHEAD
    for name, value in record.headers:
        size += len(name) + len(value)
    return size


class Backlog:
    """How much may wait at once, over all shards. A part's room is free again when all of it is answered."""

    def __init__(self, records: int, size: int) -> None:
        self._records = records
        self._bytes = size

    def admits(self, part: Part) -> bool:
        """Takes the part in, if there is room for the whole of it."""
        if self._records < len(part) or self._bytes < part.size:
            return False
        self._records -= len(part)
        self._bytes -= part.size
        return True

    def leaves(self, part: Part) -> None:
        self._records += len(part)
        self._bytes += part.size


class ShardQueue:
    """What waits for one shard: parts with records that no batch has taken yet."""

    def __init__(self, shard: Shard, backlog: Backlog) -> None:
        self.shard = shard
        self.is_flying = False  # a batch of it is under way
        self._backlog = backlog
        self._waiting: deque[Part] = deque()
        self._most = MOST_RECORDS

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, part: Part) -> bool:
        """Queues the part; False when too much is waiting already."""
        if not self._backlog.admits(part):
            return False
        self._waiting.append(part)
        return True

    def fill(self, batch: Any) -> list[Part]:
        """Moves what fits into aiokafka's batch, in order; drops what nobody waits for any more.

        What it gives has records in the batch; the last one may have others that still wait.
        """
        taken: list[Part] = []
        room = self._most
        while self._waiting and room:
            part = self._waiting[0]
            if part.call.ended:
                part.lose(_NOBODY_WAITS)
            elif count := part.fill(batch, room):
                taken.append(part)
                room -= count
            if not part.is_batched:
                break
            self._waiting.popleft()
            self._leave(part)
        return taken

    def confirm(self, taken: Sequence[Part], first_offset: int) -> None:
        """The log has what was in the batch, one after the other from `first_offset` on."""
        self._most = min(2 * self._most, MOST_RECORDS)
        for part in taken:
            first_offset += part.confirm(first_offset)
            self._leave(part)

    def lose(self, taken: Sequence[Part], reason: str) -> None:
        """Whether the log has what was in the batch is not known."""
        if self._is_first(taken[-1]):
            self._waiting.popleft()
        for part in taken:
            self._lose(part, reason)

    def put_back(self, taken: Sequence[Part]) -> None:
        """Nothing in the batch was written, because together it was too large: next time half as many."""
        self._most = max(1, in_batch(taken) // 2)
        for part in reversed(taken):
            part.take_back()
            if not self._is_first(part):
                self._waiting.appendleft(part)

    def _lose(self, part: Part, reason: str) -> None:
        part.lose(reason)
        self._leave(part)

    def _leave(self, part: Part) -> None:
        if part.is_answered:
            self._backlog.leaves(part)

    def _is_first(self, part: Part) -> bool:
        return bool(self._waiting) and self._waiting[0] is part


def in_batch(taken: Sequence[Part]) -> int:
    """How many records of these parts are in their batch."""
    return sum(part.in_batch for part in taken)
