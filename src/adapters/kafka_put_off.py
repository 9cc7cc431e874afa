"""What a shard's deferrals come to, kept from one look to the next: a look reads only what is new. No I/O."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from domain.lag import PutOff
from domain.ledger import Deferral, Written
from domain.log import Bounds

Entry = tuple[float, int, int]
"""When the log took the message, where its last put stands, and the message's offset."""


class PutOffSoFar:
    """The open ones by the offset of their message. A look costs what is new in it, however many are open."""

    def __init__(self) -> None:
        self._since = 0
        self._next = -1
        # In the order of their puts.
        self._open: dict[int, Entry] = {}
        # The oldest first; those that are over are left in it until they come up.
        self._by_age: list[Entry] = []

    def begin(self, bounds: Bounds, since: int) -> Bounds:
        """What has to be read, for the answer to be right from the position `since` on.

        All of it where that goes further back than before, or where the topic was made anew.
        """
        if since < self._since or not bounds.first <= self._next <= bounds.end:
            self._next = bounds.first
            self._open.clear()
        self._next = max(self._next, since)
        self._since = since
        self._forget_before(since)
        return Bounds(self._next, bounds.end)

    def take(self, notes: Iterable[Written]) -> None:
        for position, note in notes:
            if isinstance(note, Deferral):
                offset = note.record.offset
                entry = (note.record.timestamp, position, offset)
                self._open.pop(offset, None)  # or it would keep the place of its first put
                self._open[offset] = entry
                heappush(self._by_age, entry)
            else:
                self._open.pop(note.offset, None)
            self._next = position + 1

    def end(self, bounds: Bounds) -> PutOff:
        """Called when all that `begin` told was taken; compaction may have taken the last ones."""
        self._next = bounds.end
        return PutOff(len(self._open), self._oldest())

    def _forget_before(self, since: int) -> None:
        over = []
        for _, position, offset in self._open.values():
            if position >= since:
                break
            over.append(offset)
        for offset in over:
            del self._open[offset]

    def _oldest(self) -> float | None:
        if len(self._by_age) > 2 * len(self._open):
            self._by_age = list(self._open.values())
            heapify(self._by_age)
        while self._by_age and self._open.get(self._by_age[0][2]) is not self._by_age[0]:
            heappop(self._by_age)
        return self._by_age[0][0] if self._by_age else None
