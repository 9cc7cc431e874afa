"""Finds out that the whole process stood still: stopped by a signal or a debugger, or without a processor.

Time in which the machine itself slept does not count: Linux's monotonic clock stands still then too.
"""

from collections.abc import Callable

from domain.ports import Clock


class Tick:
    """Beats once in `every` seconds; after a gap longer than `limit` the process must end at once.

    Its shards may be another process's by now, so nothing may be sent or written any more. The beat itself
    looks before it renews the time, because on waking it may run first; so does each send, note, dead
    letter and commit, because they may. `end` does not return in a real process.
    """

    def __init__(self, clock: Clock, every: float, limit: float, end: Callable[[str], None]) -> None:
        self._clock = clock
        self._every = every
        self._limit = limit
        self._end = end
        self._last = clock.monotonic()

    def check(self) -> None:
        gap = self._clock.monotonic() - self._last
        if gap > self._limit:
            self._end(f"the process stood still for {gap:.0f} s, longer than its group waits for it")

    async def run(self) -> None:
        self._last = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._every)
            self.check()
            self._last = self._clock.monotonic()
