"""Doubles that keep what they were told. No mocks."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sized
from typing import Self

from domain.message import Message
from domain.outcome import Delivered, Outcome

SETTLE_TURNS, IDLE_TURNS = 50, 3


class FakeClock:
    """Time that moves only when a test says so; sleepers wake in order of their due times."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.time = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, next(self._order), woken))
        await woken

    async def settle(self) -> None:
        """Lets every task run until nothing is left to do without time passing.

        At most so many turns, for a task may never have done; fewer once the loop has been idle for some,
        which its queue alone tells: tests of days in virtual time would else spend theirs on empty turns.
        """
        ready: Sized = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        idle = 0
        for _ in range(SETTLE_TURNS):
            await asyncio.sleep(0)
            idle = 0 if ready else idle + 1
            if idle == IDLE_TURNS:
                return

    async def advance(self, seconds: float) -> None:
        await self.settle()
        end = self.time + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            self.time = max(self.time, due)
            if not woken.done():
                woken.set_result(None)
                await self.settle()
        self.time = end
        await self.settle()


class ScriptedChannel:
    """Answers the outcomes it was told, then `Delivered`; keeps each message it was asked to send."""

    def __init__(self, group: str = "email", script: Iterable[Outcome] = ()) -> None:
        self.group = group
        self.script = deque(script)
        self.asked: list[str] = []
        self.sent: list[str] = []
        self.probes: list[str] = []
        self.answer: Callable[[Message], Outcome] | None = None
        self.hold: asyncio.Event | None = None

    def is_for(self, message: Message) -> bool:
        return message.email is not None

    def fault(self, message: Message) -> str | None:
        return "email is wrong" if message.email == "wrong" else None

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        self.asked.append(message.request_id)
        if probe:
            self.probes.append(message.request_id)
        if self.hold is not None:
            await self.hold.wait()
        outcome = self.script.popleft() if self.script else Delivered()
        if self.answer is not None:
            outcome = self.answer(message)
        if isinstance(outcome, Delivered):
            self.sent.append(message.request_id)
        return outcome

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class SlowChannel(ScriptedChannel):
    """Takes its time for each message."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        await self.clock.sleep(self.seconds)
        return await super().deliver(message, probe=probe)
