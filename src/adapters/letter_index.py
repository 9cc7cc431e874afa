"""Finds letters in an append-only log of letters and replays that cannot be asked, only read. No I/O.

Of each letter a few small things are held, never its value: the log is read once, and what a page shows is
then read at its positions.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from domain.dead_letter import (
    MOST_REPLAYS,
    DeadLetter,
    LetterFilter,
    LetterPlace,
    LetterTally,
    Replay,
    replays_before,
)

Source = tuple[int, int]
"""Partition and offset of the original."""


@dataclass(frozen=True, slots=True)
class Found:
    """A letter's place among all, its position in the log it was read from, and its replays."""

    place: LetterPlace
    position: int
    replays: Sequence[Replay]


@dataclass(frozen=True, slots=True)
class _Entry:
    position: int
    failed_at: float
    reason: str
    key: bytes | None
    replays: int  # before it failed


# Why it died and whether it is parked; None: it is none that waits.
_Standing = tuple[str, bool] | None


class LetterIndex:
    """The letters that one group has of one topic, each source once: the one that failed last."""

    def __init__(self, topic: str, group: str) -> None:
        self.topic = topic
        self.group = group
        self._entries: dict[Source, _Entry] = {}
        self._replays: dict[Source, list[Replay]] = {}
        self._sorted: list[tuple[float, int, int]] | None = None
        # Kept up with each change: a board that is open asks again and again.
        self._counts: Counter[_Standing] = Counter()

    def add(self, letter: DeadLetter, position: int) -> None:
        """A letter of this group and topic, in the log's order."""
        source = (letter.record.shard.partition, letter.record.offset)
        known = self._entries.get(source)
        if known is None or letter.failed_at >= known.failed_at:
            before = replays_before(letter.record.headers)
            if known is not None:
                self._count(source, -1)
            self._put_in_order(source, known, letter.failed_at)
            self._entries[source] = _Entry(
                position, letter.failed_at, letter.reason.value, letter.record.key, before
            )
            self._count(source, 1)

    def note(self, source: Source, replay: Replay) -> None:
        self._count(source, -1)
        self._replays.setdefault(source, []).append(replay)
        self._count(source, 1)

    def forget(self, before: int) -> None:
        """The log has nothing below this position any more."""
        kept = {source: entry for source, entry in self._entries.items() if entry.position >= before}
        self._replays = {source: noted for source, noted in self._replays.items() if source in kept}
        self._entries = kept
        self._counts = Counter(map(self._standing, kept))
        self._sorted = None

    def find(self, wanted: LetterFilter, after: LetterPlace | None) -> Iterator[Found]:
        """Those that match, in the order of their places."""
        order = self._in_order()
        first = 0 if after is None else self._first_after(order, after)
        for failed_at, partition, offset in islice(order, first, None):
            source = (partition, offset)
            entry = self._entries[source]
            replayed = _is_put_back(entry, self._replays.get(source, ()))
            if wanted.takes(entry.reason, entry.key, failed_at, replayed=replayed):
                yield self._found(source)

    def tally(self, until: float) -> list[LetterTally]:
        """See `DeadLetterArchive.tally`."""
        counts = self._counts
        if until != float("inf"):
            late = [source for source, entry in self._entries.items() if entry.failed_at >= until]
            counts = counts - Counter(map(self._standing, late))
        reasons = sorted({standing[0] for standing, count in counts.items() if standing and count > 0})
        return [
            LetterTally(self.topic, self.group, reason, counts[reason, False], counts[reason, True])
            for reason in reasons
        ]

    def get(self, source: Source) -> Found | None:
        return self._found(source) if source in self._entries else None

    def _found(self, source: Source) -> Found:
        entry = self._entries[source]
        place = LetterPlace(entry.failed_at, self.topic, self.group, *source)
        return Found(place, entry.position, self._replays.get(source, ()))

    def _count(self, source: Source, change: int) -> None:
        self._counts[self._standing(source)] += change

    def _standing(self, source: Source) -> _Standing:
        entry, noted = self._entries.get(source), self._replays.get(source, ())
        if entry is None or _is_put_back(entry, noted):
            return None
        replays = entry.replays + len({replay.failed_at for replay in noted})
        return entry.reason, replays >= MOST_REPLAYS

    def _in_order(self) -> list[tuple[float, int, int]]:
        if self._sorted is None:
            self._sorted = sorted((entry.failed_at, *source) for source, entry in self._entries.items())
        return self._sorted

    def _put_in_order(self, source: Source, known: _Entry | None, failed_at: float) -> None:
        """Letters come nearly in order: that is cheap, and to sort all anew for each page is not."""
        order = self._sorted
        if order is None:
            return
        if known is not None:
            del order[bisect_left(order, (known.failed_at, *source))]
        insort(order, (failed_at, *source))

    def _first_after(self, order: Sequence[tuple[float, int, int]], after: LetterPlace) -> int:
        return bisect_right(
            order, after, key=lambda one: LetterPlace(one[0], self.topic, self.group, one[1], one[2])
        )


def _is_put_back(entry: _Entry, replays: Sequence[Replay]) -> bool:
    return any(replay.failed_at >= entry.failed_at for replay in replays)


def find_in(
    indexes: Sequence[LetterIndex], wanted: LetterFilter, after: LetterPlace | None, limit: int
) -> tuple[list[Found], LetterPlace | None]:
    """At most `limit` of all indexes that are looked at, and the last one's place where there are more."""
    asked = [index for index in indexes if wanted.looks_at(index.topic, index.group)]
    together = merge(*(index.find(wanted, after) for index in asked), key=lambda found: found.place)
    some = list(islice(together, limit + 1))
    return some[:limit], some[limit - 1].place if len(some) > limit else None
