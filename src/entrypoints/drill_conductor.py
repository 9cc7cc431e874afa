"""Carries a plan out: takes down, waits, brings back, waits until all that was promised has arrived."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.errors import HeraldError
from entrypoints.drill_load import Load, recipients
from entrypoints.drill_plan import GROUPS, Act, Outage, Round
from entrypoints.drill_processes import DrillProcess
from entrypoints.drill_providers import Providers
from entrypoints.drill_scoreboard import Excuse, Scoreboard
from entrypoints.inbox_outage import Outage as State

BURST = 300  # messages that a consumer has before it when it is killed
_BURST_SHARE = 3  # it is killed once a third of them has arrived
_BURST_SECONDS = 10.0
# Keys whose recipients are put off around a kill, about one in each partition, so that positions are held;
# and as many with several messages waiting who are turned away now and then, so that one may overtake.
_PUT_OFF = 6
_DEPTH = 4
_BREATH_SECONDS = 1.0  # of ordinary load before each round
_POLL_SECONDS = 0.05
_EASE_SECONDS = 3.0  # so often the gaps in the load grow by one while Herald makes up for an outage
_COMMAND_SECONDS = 120.0
_STOP_MARGIN_SECONDS = 10.0


@dataclass(slots=True)
class Done:
    """An outage as it went. Seconds since the drill began; `back_in` from the moment it was over.

    `waiting`: messages with a 202 that had not arrived then. `back_in` None: not back yet, or never.
    """

    outage: Outage
    began: float
    over: float | None = None
    waiting: int = 0
    back_in: float | None = None
    excuse: Excuse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the conductor works with. `most_repeats`: that one SIGKILL may cause.

    `broker`: the commands that stop and start one. `patience`: for how long nothing that is missing may
    arrive before it counts as lost, in seconds. `drain`: how long a consumer may take to end.
    """

    board: Scoreboard
    load: Load
    providers: Providers
    processes: Mapping[str, DrillProcess]
    broker: tuple[str, str] | None
    most_repeats: int
    patience: float
    drain: float
    now: Callable[[], float]
    show: Callable[[Done], None]


class Conductor:
    """`done` has the outages in the order in which they began."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._board = parts.board
        self._now = parts.now
        self.done: list[Done] = []

    async def run(self, rounds: Iterable[Round], until: float | None = None) -> None:
        """All rounds, or as many as begin before `until`. Raises `HeraldError`.

        The first that Herald does not come back from is the last.
        """
        await self._begin()
        for outages in rounds:
            if until is not None and self._now() >= until:
                return
            self._parts.load.pace.slowness = 1.0
            await asyncio.sleep(_BREATH_SECONDS)
            await _all(self._carry_out(outage) for outage in outages)
            if any(done.back_in is None for done in self.done):
                return

    async def _begin(self) -> None:
        """A Herald that delivers nothing at all has another fault than a drill is for."""
        await asyncio.sleep(_BREATH_SECONDS)
        promised = self._board.promised
        for channel in GROUPS:
            if not await self._caught_up(channel, promised):
                raise HeraldError(
                    f"nothing was taken down yet, and no {channel} arrives: try again with --keep FOLDER and "
                    "see Herald's log files there"
                )

    async def drain(self) -> None:
        """Waits until everything has arrived, or what is missing counts as lost."""
        for channel in GROUPS:
            await self._caught_up(channel, self._board.promised)

    async def _carry_out(self, outage: Outage) -> None:
        done = Done(outage, self._now())
        self.done.append(done)
        self._parts.show(done)
        match outage.act:
            case Act.CLOSE | Act.BUSY:
                await self._take_provider_down(outage)
            case Act.KILL:
                await self._kill(done)
            case Act.STOP:
                await self._stop(outage)
            case Act.BROKER:
                await self._stop_broker(outage)
        if done.over is None:
            self._is_over(done)
        promised = self._board.promised
        caught_up = [await self._caught_up(channel, promised) for channel in outage.channels]
        if outage.act is Act.KILL:
            self._parts.providers.doors[outage.group].moody = set()
        if all(caught_up) and done.over is not None:
            done.back_in = self._now() - done.over
        self._parts.show(done)

    def _is_over(self, done: Done) -> None:
        done.over = self._now()
        done.waiting = sum(self._board.waiting(channel) for channel in done.outage.channels)

    async def _take_provider_down(self, outage: Outage) -> None:
        state = State.DOWN if outage.act is Act.CLOSE else State.BUSY
        await self._parts.providers.change(outage.group, state)
        await asyncio.sleep(outage.seconds)
        await self._parts.providers.change(outage.group, State.UP)

    async def _kill(self, done: Done) -> None:
        """Where it hurts most: much is done beyond what could be committed, and more is in hand."""
        outage, parts = done.outage, self._parts
        door = parts.providers.doors[outage.group]
        deep = parts.load.new_keys(_PUT_OFF)
        door.put_off = recipients(outage.group, parts.load.some_keys(_PUT_OFF))
        door.moody = recipients(outage.group, deep)  # until all has arrived: they have their turns late
        try:
            await asyncio.sleep(_BREATH_SECONDS)
            await self._burst(outage.group, deep)
            done.began = self._now()
            process = parts.processes[outage.group]
            await process.kill()
            await asyncio.sleep(outage.seconds)
            done.excuse = Excuse(since=done.began, until=self._now(), most=parts.most_repeats)
            self._board.excuse(outage.group, done.excuse)
            await process.start()
            self._is_over(done)
            await asyncio.sleep(_BREATH_SECONDS)
        finally:
            door.put_off = set()

    async def _burst(self, channel: str, deep: Sequence[str]) -> None:
        """On return a part of it has arrived and the rest is in hand or next."""
        arrived = self._board.arrived(channel)
        bursting = asyncio.create_task(self._parts.load.burst(BURST, deep, _DEPTH))
        end = self._now() + _BURST_SECONDS
        while self._board.arrived(channel) < arrived + BURST // _BURST_SHARE and self._now() < end:
            self._parts.load.check()
            await asyncio.sleep(_POLL_SECONDS / 5)
        await bursting

    async def _stop(self, outage: Outage) -> None:
        process = self._parts.processes[outage.group]
        if not await process.stop(self._parts.drain + _STOP_MARGIN_SECONDS):
            raise HeraldError(f"{process.spec.name} did not end in time after SIGTERM")
        await process.start()

    async def _stop_broker(self, outage: Outage) -> None:
        if self._parts.broker is None:
            raise RuntimeError("a plan with a broker needs its commands")
        stop, start = self._parts.broker
        await _run(stop, "--broker-stop")
        await asyncio.sleep(outage.seconds)
        await _run(start, "--broker-start")

    async def _caught_up(self, channel: str, promised: int) -> bool:
        """Whether the first so many messages came to arrive."""
        missing, begun = self._board.missing(channel, promised), self._now()
        moved = begun
        while missing and self._now() - moved < self._parts.patience:
            self._parts.load.check()
            # A machine that can hardly bear the load would not catch up under all of it.
            self._parts.load.pace.slowness = 1.0 + (self._now() - begun) // _EASE_SECONDS
            await asyncio.sleep(_POLL_SECONDS)
            if (now_missing := self._board.missing(channel, promised)) != missing:
                missing, moved = now_missing, self._now()
        return not missing


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """At once; the first that fails ends the others. Raises what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(command: str, option: str) -> None:
    process = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_COMMAND_SECONDS):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        raise HeraldError(f"the command of {option} did not end in {_COMMAND_SECONDS:g} s") from None
    if code:
        raise HeraldError(f"the command of {option} ended with exit code {code}")
