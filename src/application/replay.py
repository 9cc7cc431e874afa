"""Sending dead letters again: each goes back into its topic, for the group that could not deliver it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from domain.dead_letter import KeptLetter, LetterFilter, LetterPlace, returned_id
from domain.errors import HeraldError
from domain.log import Shard
from domain.ports import Clock, DeadLetterArchive

PAGE = 100
# Letters that failed so long after the replay began, in seconds, are left for the next one. Not 0: the
# clocks of those who wrote them may be ahead.
LATE = 60.0

Chosen = Sequence[str] | LetterFilter
"""Letters by their ids, or all that a filter takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCounts:
    """What became of the letters that were chosen.

    `parked`: put back too often to be put back again. `already`: put back before, by whomever. `failed`: the
    log did not take it, or one before it in its partition; `trouble`: why the first of these failed.
    `unknown`: ids that no letter has.
    """

    replayed: int = 0
    parked: int = 0
    already: int = 0
    failed: int = 0
    trouble: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """How many letters there were, whatever became of them."""
        return self.replayed + self.parked + self.already + self.failed


@dataclass(slots=True)
class _Run:
    """One replay: where no letter may pass an earlier one, and what came back by it."""

    pause: float
    next_at: float
    stuck: set[Shard] = field(default_factory=set)
    returned: set[tuple[Shard, str, str]] = field(default_factory=set)


class ReplayDeadLetters:
    """The use case of `herald dead-letters replay`.

    Letters go back in the order of failing. Where the log does not take one, later ones of its partition stay
    too, so that those of a key keep their order. Begun anew after it was killed, it goes on.
    """

    def __init__(self, archive: DeadLetterArchive, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock

    async def survey(self, chosen: Chosen) -> ReplayCounts:
        """What a replay would come to now. Changes nothing. Raises `LogUnavailable`."""
        counts, letters = await self._begin(chosen)
        async with aclosing(letters):
            async for kept in letters:
                counts = _left_alone(counts, kept) or replace(counts, replayed=counts.replayed + 1)
        return counts

    async def __call__(
        self,
        chosen: Chosen,
        *,
        by: str,
        per_second: float = 0.0,
        progress: Callable[[ReplayCounts], None] = lambda _: None,
        enough: Callable[[ReplayCounts], bool] = lambda _: False,
    ) -> ReplayCounts:
        """Puts back at most `per_second` letters a second; 0: as fast as the log takes them.

        `by`: who does it, as the letters will tell. `progress` is called after each, and then `enough`, which
        ends it. Raises `LogUnavailable` where the letters cannot be read.
        """
        run = _Run(1.0 / per_second if per_second else 0.0, self._clock.monotonic())
        counts, letters = await self._begin(chosen)
        async with aclosing(letters):
            async for kept in letters:
                if not _came_back(run, kept):
                    counts = _left_alone(counts, kept) or await self._put_back(run, counts, kept, by)
                    progress(counts)
                    if enough(counts):
                        break
        return counts

    async def _put_back(self, run: _Run, counts: ReplayCounts, kept: KeptLetter, by: str) -> ReplayCounts:
        shard = kept.letter.record.shard
        if shard in run.stuck:
            return replace(counts, failed=counts.failed + 1)
        await self._in_turn(run)
        try:
            await self._archive.put_back(kept, by=by)
        except HeraldError as error:
            run.stuck.add(shard)
            return replace(counts, failed=counts.failed + 1, trouble=counts.trouble or str(error))
        run.returned.add((shard, kept.letter.group, returned_id(kept)))
        return replace(counts, replayed=counts.replayed + 1)

    async def _in_turn(self, run: _Run) -> None:
        """Returns when the next letter may go. What was slow is not made up for by a burst."""
        if (wait := run.next_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait)
        run.next_at = self._clock.monotonic() + run.pause

    async def _begin(self, chosen: Chosen) -> tuple[ReplayCounts, AsyncGenerator[KeptLetter, None]]:
        if isinstance(chosen, LetterFilter):
            return ReplayCounts(), self._matching(chosen)
        asked = {letter_id: await self._archive.get(letter_id) for letter_id in chosen}
        unknown = tuple(letter_id for letter_id, kept in asked.items() if kept is None)
        there = sorted((kept for kept in asked.values() if kept is not None), key=lambda kept: kept.place)
        return ReplayCounts(unknown=unknown), _each(there)

    async def _matching(self, wanted: LetterFilter) -> AsyncGenerator[KeptLetter, None]:
        wanted = replace(wanted, until=min(wanted.until, self._clock.now() + LATE))
        after: LetterPlace | None = None
        while True:
            page = await self._archive.find(wanted, after=after, limit=PAGE)
            for kept in page.letters:
                yield kept
            if page.next is None:
                return
            after = page.next


async def _each(letters: Sequence[KeptLetter]) -> AsyncGenerator[KeptLetter, None]:
    for kept in letters:
        yield kept


def _left_alone(counts: ReplayCounts, kept: KeptLetter) -> ReplayCounts | None:
    """The counts with a letter that is not put back; None for one that is."""
    if kept.replayed is not None:
        return replace(counts, already=counts.already + 1)
    if kept.is_parked:
        return replace(counts, parked=counts.parked + 1)
    return None


def _came_back(run: _Run, kept: KeptLetter) -> bool:
    """Whether this very run put its message back, and it died again since: it is not tried all over."""
    letter = kept.letter
    known = (letter.record.shard, letter.group, kept.request_id)
    return kept.replayed is None and kept.replays > 0 and known in run.returned
