"""Sending dead letters again for somebody who waits for the answer: some in each call, and what is left."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from application.deadline import within
from application.letter_counts import CountLetters
from application.replay import Chosen, ReplayCounts, ReplayDeadLetters
from domain.dead_letter import LetterFilter
from domain.errors import HeraldError, LogUnavailable
from domain.ports import Clock, DeadLetterArchive

MOST_LETTERS = 1000
# Past this part of the time no new letter is begun, so that the answer comes before all of it is over.
_PART = 0.5
_BUSY = "another replay is under way: ask again once it is done"
_ONLY_PARKED = "so many letters are parked that no other was reached in time: use herald dead-letters replay"


@dataclass(frozen=True, slots=True)
class Portion:
    """What one call came to. `remaining`: letters of the choice that it did not get to."""

    counts: ReplayCounts
    remaining: int = 0


@dataclass(slots=True)
class _Work:
    """One call. `chosen`: letters it may have to put back. `began`: it is its turn."""

    chosen: int = 0
    parked: int = 0
    began: bool = False
    counts: ReplayCounts = field(default_factory=ReplayCounts)

    def portion(self, chosen: Chosen) -> Portion:
        counts = self.counts
        if isinstance(chosen, LetterFilter):  # of which only those were counted that can be put back
            reached = counts.replayed + counts.failed
        else:
            reached = counts.done + len(counts.unknown)
        remaining = max(0, self.chosen - reached)
        if remaining and not (reached or counts.trouble):
            counts = replace(counts, trouble=_ONLY_PARKED)
        return Portion(counts, remaining)


class ReplayPortion:
    """At most `MOST_LETTERS` a call, within `seconds`; one call at a time, others wait for it.

    A call that is cut off, by its time or by who asked, has put back some and not the others: the next call
    goes on. Of a filter, group, topics, reason and `until` are obeyed.
    """

    def __init__(
        self, archive: DeadLetterArchive, counting: CountLetters, clock: Clock, seconds: float
    ) -> None:
        self._archive = archive
        self._replay = ReplayDeadLetters(archive, clock)
        self._counting = counting
        self._clock = clock
        self._seconds = seconds
        self._one_at_a_time = asyncio.Lock()

    async def survey(self, chosen: Chosen) -> ReplayCounts:
        """What calls until nothing remains would come to now. Changes nothing. Raises `HeraldError`."""
        work = _Work(began=True)
        await self._in_time(self._look(chosen, work), work)
        return work.counts

    async def __call__(self, chosen: Chosen, *, by: str) -> Portion:
        """`by`: who does it, as the letters will tell. Raises `HeraldError` where nothing was done."""
        work = _Work()
        try:
            await self._in_time(self._put_back(chosen, by, work), work)
        except HeraldError as error:
            if not work.counts.done:
                raise
            work.counts = replace(work.counts, trouble=work.counts.trouble or str(error))
        finally:
            self._counting.forget()
        return work.portion(chosen)

    async def _look(self, chosen: Chosen, work: _Work) -> None:
        if isinstance(chosen, LetterFilter):
            await self._count(chosen, work)
            work.counts = ReplayCounts(replayed=work.chosen, parked=work.parked)
        else:
            work.counts = await self._replay.survey(chosen)

    async def _put_back(self, chosen: Chosen, by: str, work: _Work) -> None:
        begin_until = self._clock.monotonic() + self._seconds * _PART

        def note(counts: ReplayCounts) -> None:
            work.counts = counts

        def enough(counts: ReplayCounts) -> bool:
            return counts.replayed + counts.failed >= MOST_LETTERS or self._clock.monotonic() >= begin_until

        async with self._one_at_a_time:
            work.began = self._clock.monotonic() < begin_until
            if not work.began:
                raise LogUnavailable(_BUSY)
            if isinstance(chosen, LetterFilter):
                await self._count(chosen, work)
                chosen = replace(chosen, replayed=False)
            else:
                work.chosen = len(set(chosen))
            work.counts = await self._replay(chosen, by=by, progress=note, enough=enough)

    async def _count(self, wanted: LetterFilter, work: _Work) -> None:
        found = [
            tally
            for tally in await self._archive.tally(wanted.until)
            if wanted.looks_at(tally.topic, tally.group) and wanted.reason in {"", tally.reason}
        ]
        work.chosen = sum(tally.waiting for tally in found)
        work.parked = sum(tally.parked for tally in found)

    async def _in_time(self, doing: Coroutine[Any, Any, None], work: _Work) -> None:
        if not await within(self._clock, self._seconds, doing):
            late = f"the log did not answer within {self._seconds:g} seconds: ask again, and it goes on"
            raise LogUnavailable(late if work.began else _BUSY)
