"""Which records of a shard are finished, and up to where the group may commit."""

from collections import deque


class OffsetTracker:
    """Records are taken in offset order and finished in any order.

    Only offsets that were handed out count: a log may have gaps (compaction, transactions), so
    nothing is assumed about the numbers in between.
    """

    __slots__ = ("_finished", "_next", "_taken")

    def __init__(self, start: int) -> None:
        self._next = start
        self._taken: deque[tuple[int, float]] = deque()
        self._finished: set[int] = set()

    def take(self, offset: int, timestamp: float) -> None:
        self._taken.append((offset, timestamp))
        self._next = offset + 1

    def finish(self, offset: int) -> None:
        self._finished.add(offset)
        taken, finished = self._taken, self._finished
        while taken and taken[0][0] in finished:
            finished.remove(taken.popleft()[0])

    def skip_to(self, offset: int) -> None:
        """Records below `offset` that were not taken are gone."""
        self._next = max(self._next, offset)

    @property
    def safe(self) -> int:
        """The offset to commit: everything below it is finished."""
        return self._taken[0][0] if self._taken else self._next

    @property
    def next(self) -> int:
        """The offset after the last one taken."""
        return self._next

    @property
    def run_ahead(self) -> int:
        """How many records are finished above the lowest unfinished one: a crash repeats them."""
        return len(self._finished)

    @property
    def unfinished(self) -> int:
        return len(self._taken) - len(self._finished)

    @property
    def oldest(self) -> float | None:
        """The timestamp of the lowest unfinished record."""
        return self._taken[0][1] if self._taken else None
