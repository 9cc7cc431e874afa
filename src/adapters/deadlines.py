"""One timer for all who wait equally long: a timer each costs as much as what they wait for."""

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter")


class Deadlines(Generic[Waiter]):
    """Calls `late` with each waiter that is not dropped within `seconds`, by the loop's clock."""

    def __init__(self, seconds: float, late: Callable[[Waiter], None]) -> None:
        self._seconds = seconds
        self._late = late
        # In the order of their deadlines, because all have the same limit.
        self._due: dict[Waiter, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, waiter: Waiter) -> None:
        loop = asyncio.get_running_loop()
        self._due[waiter] = due = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._ring)

    def drop(self, waiter: Waiter) -> None:
        """It need not wait any more, or has been called late already."""
        self._due.pop(waiter, None)

    def close(self) -> list[Waiter]:
        """Nobody is called late any more; gives those who would have been."""
        waiting = list(self._due)
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return waiting

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [waiter for waiter, _ in takewhile(lambda item: item[1] <= now, self._due.items())]
        for waiter in late:
            del self._due[waiter]
        first = next(iter(self._due.values()), None)
        self._timer = None if first is None else loop.call_at(first, self._ring)
        for waiter in late:
            self._late(waiter)
