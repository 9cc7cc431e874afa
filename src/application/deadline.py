"""Waiting with a time limit on the `Clock` port, so that tests need no real time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from domain.ports import Clock


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, object]) -> bool:
    """Whether `work` ended in time; if not, it is cancelled. What it raises is raised."""
    working = asyncio.ensure_future(work)
    sleeping = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({working, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        working.cancel()
        sleeping.cancel()


class Alarm:
    """Runs a callback at the earliest of the moments it was told; later ones must be told again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: float | None = None
        self._task: asyncio.Task[None] | None = None
        self.rang = asyncio.Event()

    def set(self, due: float | None) -> None:
        """Moments are the clock's monotonic seconds; None changes nothing."""
        if due is None or (self._due is not None and self._due <= due):
            return
        self.cancel()
        self._due = due
        self._task = asyncio.create_task(self._ring(due))

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = self._due = None

    async def _ring(self, due: float) -> None:
        await self._clock.sleep(due - self._clock.monotonic())
        self._task = self._due = None
        self.rang.set()
