"""Keeps child processes running: starts them together, again when one ends, ends them together."""

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from application.restart_policy import Restarts
from domain.retry import Jitter, RetryPolicy
from entrypoints.supervised_child import ChildSpec, RunningChild, Said

logger = logging.getLogger("herald.supervisor")

Show = Callable[[str], None]
"""Puts one whole line where a person looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorTimes:
    """Seconds. `start`: how long the children have until the rest goes on without the late ones.

    `hold`: what a child says before it is ready is held back so long. `stop`: how long all may drain before
    they are killed. A child that lived for `steady` has its first pause again.
    """

    start: float = 15.0
    hold: float = 15.0
    stop: float = 25.0
    steady: float = 60.0
    pauses: RetryPolicy = field(default=RetryPolicy(first_seconds=0.5, max_seconds=30.0))


@dataclass(frozen=True, slots=True)
class Started:
    """How the start went: what each ready child told of itself, and what each late one waits for."""

    ready: Mapping[str, Mapping[str, str]]
    late: Mapping[str, str]


class Supervisor:
    """Runs `children` until `stop`; one run of `run` in its life."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        show: Show,
        times: SupervisorTimes,
        draw: Jitter = random.random,
    ) -> None:
        self._children = [_Kept(spec, Restarts(times.pauses, times.steady)) for spec in children]
        self._show = show
        self._times = times
        self._draw = draw
        self._is_starting = True
        self._refused = False
        self._is_killing = False
        self._over = asyncio.Event()
        self._at_once = asyncio.Event()
        self._all_ready = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        return self._over.is_set()

    def stop(self) -> None:
        """Ends all gracefully; called again, at once."""
        if self._over.is_set():
            self._at_once.set()
        self._over.set()

    def report(self) -> Started:
        """How it stands now."""
        runs = {child.spec.name: child.running for child in self._children}
        ready = {name: run.facts for name, run in runs.items() if run and run.is_ready}
        late = {name: run.waiting_for if run else "" for name, run in runs.items() if name not in ready}
        return Started(ready, late)

    async def run(self, on_started: Callable[[Started], None]) -> int:
        """The exit code: 0 after a stop, 1 when a child refused to start or had to be killed at once.

        A child that ends itself with an error before it was ready, while the others start, has a reason
        that starting again would not mend: all end, and its last line says why.
        """
        keepers = {child.spec.name: asyncio.create_task(self._keep(child)) for child in self._children}
        for keeper in keepers.values():
            keeper.add_done_callback(self._keeper_ended)
        try:
            await _first_of(self._all_ready, self._over, seconds=self._times.start)
            self._is_starting = False
            if not self._over.is_set():
                on_started(self.report())
            await self._over.wait()
        finally:
            self._over.set()
            await self._end(keepers)
        return 1 if self._refused or self._at_once.is_set() else 0

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        if keeper.cancelled() or keeper.exception() is not None:
            self._over.set()

    async def _keep(self, child: "_Kept") -> None:
        while not self._over.is_set():
            ending = await self._run_once(child)
            if self._over.is_set():
                return
            if self._is_starting and ending.is_refusal:
                self._refuse(child, ending)
                return
            pause = child.restarts.ended(_now(), self._draw())
            self._tell_end(child, ending, pause)
            await _first_of(self._over, seconds=pause)

    async def _run_once(self, child: "_Kept") -> "_Ending":
        name = child.spec.name
        said = Said(name, self._show)
        running = RunningChild(child.spec, said, lambda: self._became_ready(child))
        # Who is late may have something to say about it.
        release = asyncio.get_running_loop().call_later(self._times.hold, said.release)
        child.running = running
        child.restarts.started(_now())
        try:
            await running.start()
            logger.info("A child started", extra={"action": "child_started", "child": name})
            self._end_too_late(running)
            code = await running.wait()
        except OSError as error:
            return _Ending(None, running.is_ready, f"could not be started ({error.strerror})")
        finally:
            release.cancel()
            running.close()
            child.running = None
        return _Ending(code, running.is_ready, said.last_words())

    def _end_too_late(self, running: RunningChild) -> None:
        """A stop that came while the process was being made has not reached it."""
        if self._is_killing:
            running.kill()
        elif self._over.is_set():
            running.terminate()

    def _became_ready(self, child: "_Kept") -> None:
        was_ready, child.was_ready = child.was_ready, True
        if not self._is_starting and not self._over.is_set():
            self._show(f"{child.spec.name} is {'ready again' if was_ready else 'ready'}")
        if all(other.was_ready for other in self._children):
            self._all_ready.set()

    def _refuse(self, child: "_Kept", ending: "_Ending") -> None:
        self._refused = True
        self._is_starting = False
        if not self._over.is_set():
            self._show(f"Error: {child.spec.name}: {ending.words or ending.how}")
        self._over.set()

    def _tell_end(self, child: "_Kept", ending: "_Ending", pause: float) -> None:
        extra = {
            "action": "child_ended",
            "child": child.spec.name,
            "how": ending.how,
            "pause": round(pause, 2),
        }
        logger.warning("A child ended and is started again", extra=extra)
        words = f": {ending.words}" if ending.words else ""
        self._show(f"{child.spec.name} {ending.how}{words}; starting it again in {pause:.1f} s")

    async def _end(self, keepers: Mapping[str, asyncio.Task[None]]) -> None:
        terminating = asyncio.create_task(self._terminate(keepers))
        ended = asyncio.Event()
        waiting = asyncio.gather(*keepers.values(), return_exceptions=True)
        waiting.add_done_callback(lambda _: ended.set())
        await _first_of(ended, self._at_once, seconds=self._times.stop)
        if not ended.is_set():
            self._is_killing = True
            self._tell_killed()
            self._each(RunningChild.kill)
        failures = [failure for failure in await waiting if failure is not None]
        terminating.cancel()
        logger.info("All children have ended", extra={"action": "children_ended"})
        if failures:
            raise failures[0]

    async def _terminate(self, keepers: Mapping[str, asyncio.Task[None]]) -> None:
        """What others still send to in their last seconds is asked to end after them."""
        first = [child for child in self._children if not child.spec.stops_last]
        for child in first:
            child.terminate()
        if first:
            await asyncio.wait([keepers[child.spec.name] for child in first])
        for child in self._children:
            if child.spec.stops_last:
                child.terminate()

    def _tell_killed(self) -> None:
        names = ", ".join(child.spec.name for child in self._children if child.running)
        logger.warning("Children are killed", extra={"action": "children_killed", "children": names})
        self._show(f"killing what did not end in time: {names}")

    def _each(self, act: Callable[[RunningChild], None]) -> None:
        for child in self._children:
            if child.running is not None:
                act(child.running)


@dataclass(slots=True)
class _Kept:
    """A child over all its runs."""

    spec: ChildSpec
    restarts: Restarts
    running: RunningChild | None = None
    was_ready: bool = False

    def terminate(self) -> None:
        if self.running is not None:
            self.running.terminate()


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a run ended. `code` None: it never began."""

    code: int | None
    was_ready: bool
    words: str

    @property
    def is_refusal(self) -> bool:
        return not self.was_ready and self.code is not None and self.code > 0

    @property
    def how(self) -> str:
        if self.code is None:
            return "did not start"
        if self.code < 0:
            return f"was ended by {_signal_name(-self.code)}"
        return f"ended with exit code {self.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _first_of(*events: asyncio.Event, seconds: float) -> None:
    """Returns when one of the events is set, or after `seconds`."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
