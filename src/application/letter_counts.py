"""How many dead letters wait, for those who look at it all the time."""

import asyncio
from collections.abc import Sequence

from domain.dead_letter import LetterTally
from domain.errors import HeraldError
from domain.ports import Clock, DeadLetterArchive

FRESH_SECONDS = 3.0
TROUBLE_SECONDS = 1.0
# What took long to count is kept so many times as long: that takes a twentieth of a core at the most.
_SHARE = 20.0
LONGEST_SECONDS = 30.0


class CountLetters:
    """Counts for all who ask at once, and again only after some seconds, or once it is told to forget."""

    def __init__(self, archive: DeadLetterArchive, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._fresh_until = float("-inf")
        self._counted: Sequence[LetterTally] = ()
        self._trouble = ""

    async def __call__(self) -> Sequence[LetterTally]:
        """In order. Raises `HeraldError` where they cannot be read."""
        async with self._one_at_a_time:
            if self._clock.monotonic() >= self._fresh_until:
                await self._count()
        if self._trouble:
            raise HeraldError(self._trouble)
        return self._counted

    def forget(self) -> None:
        """Letters were put back: who asks now wants to see that."""
        self._fresh_until = float("-inf")

    async def _count(self) -> None:
        began = self._clock.monotonic()
        try:
            self._counted, self._trouble = await self._archive.tally(), ""
        except HeraldError as error:
            self._trouble = str(error)
        now = self._clock.monotonic()
        kept = TROUBLE_SECONDS if self._trouble else _kept_for(now - began)
        self._fresh_until = now + kept


def _kept_for(seconds: float) -> float:
    """How long an answer is kept that took so long to count."""
    return min(LONGEST_SECONDS, max(FRESH_SECONDS, _SHARE * seconds))
