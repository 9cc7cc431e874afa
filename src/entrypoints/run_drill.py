"""`herald drill`: takes down what Herald depends on, under load, and counts what became of each message."""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rich.console import Console

from domain.errors import HeraldError
from entrypoints.drill_conductor import Conductor, Parts
from entrypoints.drill_load import Load
from entrypoints.drill_plan import GROUPS, Round, at_random, in_turn
from entrypoints.drill_processes import DrillProcess
from entrypoints.drill_providers import Providers
from entrypoints.drill_report import WIDTH, Result, as_json, show
from entrypoints.drill_scoreboard import Scoreboard
from entrypoints.drill_screen import DrillScreen
from entrypoints.drill_site import DrillSite, topic_name
from entrypoints.logs import say
from entrypoints.run_all import HERALD
from entrypoints.settings_model import Settings
from entrypoints.stop_signals import stopping_on_signals

_READY_SECONDS = 90.0
_STOP_MARGIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillOptions:
    """What the command line says. `minutes`: faults at random for so long; None: each once, in turn.

    `keep`: the folder to run in, which stays. `consumer`: a program that starts a consumer in place of
    Herald, with the same arguments; empty: Herald.
    """

    rate: float = 40.0
    outage_seconds: float = 4.0
    minutes: float | None = None
    seed: int = 0
    patience: float = 75.0
    broker: tuple[str, str] | None = None
    keep: Path | None = None
    as_json: bool = False
    consumer: Sequence[str] = ()


def run_drill(settings: Settings, options: DrillOptions) -> int:
    """The exit code: 1 if a promise was broken, or if the drill could not be carried out."""
    try:
        with _folder(options.keep) as folder:
            site = DrillSite(
                folder=folder,
                is_kept=options.keep is not None,
                name=topic_name(settings),
                settings=settings,
                program=HERALD,
                consumer=options.consumer or HERALD,
            )
            result = asyncio.run(Drill(site, options).run())
    except HeraldError as error:
        say(str(error))
        return 1
    except asyncio.CancelledError:
        say("the drill was stopped before its end")
        return 1
    if options.as_json:
        sys.stdout.write(f"{as_json(result)}\n")
    else:
        show(result, _console(to_stderr=False))
    return 0 if result.holds else 1


class Drill:
    """One drill; runs once."""

    def __init__(self, site: DrillSite, options: DrillOptions) -> None:
        self._site = site
        self._options = options
        self._draw = Random(options.seed)  # noqa: S311 - a fault's moment is no secret
        self._board = Scoreboard(GROUPS)
        self._notes: list[str] = []
        self._begun = 0.0

    def now(self) -> float:
        """Seconds since the drill began."""
        return asyncio.get_running_loop().time() - self._begun

    async def run(self) -> Result:
        """Raises `HeraldError` where it cannot be carried out, and is cancelled by Ctrl-C and SIGTERM."""
        self._begun = asyncio.get_running_loop().time()
        drilling = asyncio.ensure_future(self._in_order())

        def stop() -> None:
            drilling.cancel()

        with stopping_on_signals(stop):
            return await drilling

    async def _in_order(self) -> Result:
        async with AsyncExitStack() as stack:
            return await self._run(stack)

    async def _run(self, stack: AsyncExitStack) -> Result:
        title = f"Herald drill on {self._site.log}; seed {self._options.seed}"
        screen = DrillScreen(_console(to_stderr=True), title, self._board, GROUPS, self.now)
        providers = await stack.enter_async_context(Providers(self._arrived))
        processes = self._processes(providers)
        stack.push_async_callback(self._end, processes.values())
        await stack.enter_async_context(screen)
        screen.phase("starting the API and both consumers")
        url = await _started(processes)
        load = Load(url, self._site.name, self._options.rate, self._promised, self._draw)
        await stack.enter_async_context(load)
        conductor = Conductor(
            Parts(
                board=self._board,
                load=load,
                providers=providers,
                processes=processes,
                broker=self._options.broker,
                most_repeats=2 * self._site.settings.delivery.concurrency,
                patience=self._options.patience,
                drain=self._site.settings.delivery.drain_seconds,
                now=self.now,
                show=screen.outage,
            )
        )
        await self._carry_out(conductor, load, screen)
        screen.phase("stopping Herald, to see whether anything still comes")
        await self._end(processes.values())
        return self._result(conductor, load)

    async def _carry_out(self, conductor: Conductor, load: Load, screen: DrillScreen) -> None:
        minutes = self._options.minutes
        await conductor.run(self._rounds(), None if minutes is None else self.now() + 60 * minutes)
        screen.phase("no more load; waiting for the last messages")
        await load.stop()
        await conductor.drain()

    def _rounds(self) -> Iterable[Round]:
        has_broker = self._options.broker is not None
        if self._options.minutes is not None:
            return at_random(self._draw, broker=has_broker)
        return in_turn(self._options.outage_seconds, broker=has_broker, together=self._site.on_kafka)

    def _processes(self, providers: Providers) -> dict[str, DrillProcess]:
        ports = {group: providers.port(group) for group in GROUPS}
        specs = self._site.processes(os.environ, ports)
        return {name: DrillProcess(spec, self._notes.append) for name, spec in specs.items()}

    def _promised(self, request_id: str, key: str | None) -> None:
        self._board.promise(request_id, key, self.now())

    def _arrived(self, channel: str, request_id: str) -> None:
        self._board.arrive(channel, request_id, self.now())

    async def _end(self, processes: Iterable[DrillProcess]) -> None:
        seconds = self._site.settings.delivery.drain_seconds + _STOP_MARGIN_SECONDS
        await asyncio.gather(*(process.stop(seconds) for process in processes))

    def _result(self, conductor: Conductor, load: Load) -> Result:
        outages = sorted(conductor.done, key=lambda done: done.began)
        return Result(
            log=self._site.log,
            seed=self._options.seed,
            seconds=self.now(),
            refused=load.refused,
            tallies={group: self._board.tally(group) for group in GROUPS},
            outages=outages,
            repeats=[
                self._board.repeats_of(done.outage.group, done.excuse) if done.excuse else None
                for done in outages
            ],
            notes=self._notes,
        )


async def _started(processes: dict[str, DrillProcess]) -> str:
    """The API's address once all are ready. Raises `HeraldError`."""
    for process in processes.values():
        await process.start()
    facts = await asyncio.gather(*(process.facts(_READY_SECONDS) for process in processes.values()))
    return facts[0]["url"]


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="herald-drill-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        used = any(keep.iterdir())
    except OSError as error:
        raise HeraldError(f"--keep {keep}: {error.strerror}") from error
    if used:
        raise HeraldError(f"--keep {keep} is not empty: name a new folder, for nothing of yours is touched")
    yield keep.resolve()


def _console(*, to_stderr: bool) -> Console:
    stream = sys.stderr if to_stderr else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else WIDTH)
