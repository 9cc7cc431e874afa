"""Waiting with a time limit on the `Clock` port, so that tests need no real time."""

import asyncio
from collections.abc import Callable, Coroutine
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
        # An error that is raised knows this frame, and the task the error: until the garbage collector came,
        # the two would keep each other and all that the frames hold.
        del working


class Alarm:
    """Calls `ring` at the earliest of the moments it was told; after that it must be told again."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._due: float | None = None
        self._task: asyncio.Task[None] | None = None

    def set(self, due: float) -> None:
        """`due` is in the clock's monotonic seconds."""
        if self._due is not None and self._due <= due:
            return
        self.cancel()
        self._due = due
        self._task = asyncio.create_task(self._wait(due))

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = self._due = None

    async def _wait(self, due: float) -> None:
        await self._clock.sleep(due - self._clock.monotonic())
        self._task = self._due = None
        self._ring()
