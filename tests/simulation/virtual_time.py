"""Time that passes at once: an event loop without sockets, whose clock jumps to whatever is due next."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

EPOCH = 1_800_000_000.0
MOMENT = 1e-6
"""Short enough to be no time at all; over only when nothing else is left to do."""


class NothingHappensAnyMore(Exception):
    """Every task waits for another one: a deadlock."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`asyncio` asks its selector to wait; this one sets the time instead. So a day takes milliseconds.

    `before_time_passes` is called whenever all that can be done now is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self
        self.before_time_passes: Callable[[], None] = _nothing

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise NothingHappensAnyMore
        if timeout > 0:
            if timeout > MOMENT:
                self.before_time_passes()
            due: float = self._scheduled[0].when()  # type: ignore[attr-defined]
            self._now = max(self._now, due)
        return []

    def _process_events(self, events: list[object]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """No other thread has to wake it."""


def _nothing() -> None:
    """What is done before time passes, unless somebody wants to look."""


class VirtualClock:
    """The `Clock` of such a loop."""

    def now(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def settle(self) -> None:
        await asyncio.sleep(MOMENT)


def run_in_virtual_time(
    work: Coroutine[Any, Any, None], before_time_passes: Callable[[], None] = _nothing
) -> None:
    def new_loop() -> VirtualLoop:
        loop = VirtualLoop()
        loop.before_time_passes = before_time_passes
        return loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work)
