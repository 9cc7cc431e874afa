"""Time that work moves: a run on it takes the same course however fast the machine is."""

import asyncio
import heapq
from itertools import count


class CountingClock:
    """A `Clock` that stands until `pass_time`, which wakes whoever is due."""

    def __init__(self) -> None:
        self._time = 1_800_000_000.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._time

    def monotonic(self) -> float:
        return self._time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._time + seconds, next(self._order), woken))
        await woken

    def pass_time(self, seconds: float) -> None:
        self._time += seconds
        while self._sleepers and self._sleepers[0][0] <= self._time:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
