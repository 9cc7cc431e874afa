"""Time as a test's own process has it, on a machine that is busy, or slow."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

STEPS = 20_000
USUAL_SECONDS = 0.001  # for so many steps, on a machine of 2024 that does nothing else
PAUSE = 0.1


def own_time() -> float:
    """Seconds, without those for which the test could have run while a busy machine ran others (Linux)."""
    stat = Path("/proc/self/schedstat")
    queued = int(stat.read_text(encoding="ascii").split()[1]) / 1e9 if stat.exists() else 0.0
    return time.monotonic() - queued


class Pace:
    """How fast plain Python is meanwhile: a machine's may double from one second to the next."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    @property
    def slowness(self) -> float:
        """How many times longer than usual a step took, on the average; at least 1."""
        return max(1.0, sum(self._seconds) / len(self._seconds) / USUAL_SECONDS)

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """It takes a hundredth of the time."""
        measuring = asyncio.create_task(self._measure())
        try:
            yield
        finally:
            measuring.cancel()

    async def _measure(self) -> None:
        while True:
            begun = own_time()
            sum(number for number in range(STEPS))
            self._seconds.append(own_time() - begun)
            await asyncio.sleep(PAUSE)
