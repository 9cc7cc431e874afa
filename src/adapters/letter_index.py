"""Finds letters in an append-only log of letters and replays that cannot be asked, only read. No I/O.

Of each letter a few small things are held, never its value: the log is read once, and what a page shows is
then read at its positions.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from domain.dead_letter import DeadLetter, LetterFilter, LetterPlace, Replay

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


class LetterIndex:
    """The letters that one group has of one topic, each source once: the one that failed last."""

    def __init__(self, topic: str, group: str) -> None:
        self.topic = topic
        self.group = group
        self._entries: dict[Source, _Entry] = {}
        self._replays: dict[Source, list[Replay]] = {}
        self._sorted: list[tuple[float, int, int]] | None = None

    def add(self, letter: DeadLetter, position: int) -> None:
        """A letter of this group and topic, in the log's order."""
        source = (letter.record.shard.partition, letter.record.offset)
        known = self._entries.get(source)
        if known is None or letter.failed_at >= known.failed_at:
            reason = letter.reason.value
            self._entries[source] = _Entry(position, letter.failed_at, reason, letter.record.key)
            self._sorted = None

    def note(self, source: Source, replay: Replay) -> None:
        self._replays.setdefault(source, []).append(replay)

    def forget(self, before: int) -> None:
        """The log has nothing below this position any more."""
        kept = {source: entry for source, entry in self._entries.items() if entry.position >= before}
        self._replays = {source: noted for source, noted in self._replays.items() if source in kept}
        self._entries = kept
        self._sorted = None

    def find(self, wanted: LetterFilter, after: LetterPlace | None) -> Iterator[Found]:
        """Those that match, in the order of their places."""
        order = self._in_order()
        first = 0 if after is None else self._first_after(order, after)
        for failed_at, partition, offset in islice(order, first, None):
            found = self._found((partition, offset))
            entry = self._entries[partition, offset]
            replayed = any(replay.failed_at >= failed_at for replay in found.replays)
            if wanted.takes(entry.reason, entry.key, failed_at, replayed=replayed):
                yield found

    def get(self, source: Source) -> Found | None:
        return self._found(source) if source in self._entries else None

    def _found(self, source: Source) -> Found:
        entry = self._entries[source]
        place = LetterPlace(entry.failed_at, self.topic, self.group, *source)
        return Found(place, entry.position, self._replays.get(source, ()))

    def _in_order(self) -> list[tuple[float, int, int]]:
        if self._sorted is None:
            self._sorted = sorted((entry.failed_at, *source) for source, entry in self._entries.items())
        return self._sorted

    def _first_after(self, order: Sequence[tuple[float, int, int]], after: LetterPlace) -> int:
        return bisect_right(
            order, after, key=lambda one: LetterPlace(one[0], self.topic, self.group, one[1], one[2])
        )


def find_in(
    indexes: Sequence[LetterIndex], wanted: LetterFilter, after: LetterPlace | None, limit: int
) -> tuple[list[Found], LetterPlace | None]:
    """At most `limit` of all indexes that are looked at, and the last one's place where there are more."""
    asked = [index for index in indexes if wanted.looks_at(index.topic, index.group)]
    together = merge(*(index.find(wanted, after) for index in asked), key=lambda found: found.place)
    some = list(islice(together, limit + 1))
    return some[:limit], some[limit - 1].place if len(some) > limit else None
