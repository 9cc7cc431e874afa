"""What a shard's deferrals come to, kept from one look to the next: a look reads only what is new. No I/O."""

from collections.abc import Iterable

from domain.lag import PutOff
from domain.ledger import Deferral, Written
from domain.log import Bounds


class PutOffSoFar:
    """The open ones by the offset of their message: where the last put stands, and when the log took it."""

    def __init__(self) -> None:
        self._since = 0
        self._next = -1
        self._open: dict[int, tuple[int, float]] = {}

    def begin(self, bounds: Bounds, since: int) -> Bounds:
        """What has to be read, for the answer to be right from the position `since` on.

        All of it where that goes further back than before, or where the topic was made anew.
        """
        if since < self._since or not bounds.first <= self._next <= bounds.end:
            self._next = max(since, bounds.first)
            self._open.clear()
        self._since = since
        self._open = {offset: put for offset, put in self._open.items() if put[0] >= since}
        return Bounds(self._next, bounds.end)

    def take(self, notes: Iterable[Written]) -> None:
        for position, note in notes:
            if isinstance(note, Deferral):
                self._open[note.record.offset] = (position, note.record.timestamp)
            else:
                self._open.pop(note.offset, None)
            self._next = position + 1

    def end(self, bounds: Bounds) -> PutOff:
        """Called when all that `begin` told was taken; compaction may have taken the last ones."""
        self._next = bounds.end
        times = [time for _, time in self._open.values()]
        return PutOff(len(times), min(times, default=None))
