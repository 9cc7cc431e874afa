"""Instructions and memory of fixed work: what a change costs, told without a quiet machine.

A figure is the difference of a run of twice as many messages and a run of as many, by message: the start and
whatever is made once are in both. Two runs of the same code differ by less than one per cent.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.figures import Measure, Section, Turn
from benchmarks.processes import PATIENCE_SECONDS, module, pin, run
from benchmarks.programs import ensure

INSTRUCTIONS = Measure("instructions", "a message", exact=True)
BLOCKS = Measure("blocks kept", "a message", digits=2, exact=True)
PEAK_GROWS = Measure("memory grows", "bytes a message", exact=True)


class Work(NamedTuple):
    """One of `counted.WORKS`, and how many messages of it are counted."""

    name: str
    messages: int


WORKS = {
    "Herald: one request, from ASGI to the log and back": Work("one", 2_000),
    "Herald: one message of a batch of 500": Work("batch", 2_000),
    "Herald: one message through the engine": Work("engine", 2_000),
    "Herald: one mail, from message to bytes": Work("mail", 400),
}
_COUNTER = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
_COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")


def counts(bench: Bench) -> list[Section]:
    """Once, however many rounds were asked for: another time would say the same."""
    pin(bench.cores.measured | bench.cores.others)  # nothing is timed
    bench.note("counting instructions")
    # The first run of each leaves the compiled modules that the counted runs find.
    memory = {what: _memory(work) for what, work in WORKS.items()}
    instructions = _instructions() if ensure("valgrind") else {}
    pin(bench.cores.others)
    turns = {what: [Turn({**instructions.get(what, {}), **memory[what]})] for what in WORKS}
    return [Section("counts", turns, floor=None)]


def _memory(work: Work) -> dict[Measure, float]:
    less, more = (run(_command(work, times, "traced")) for times in (1, 2))
    grown = {BLOCKS: more["kept"] - less["kept"], PEAK_GROWS: more["peak"] - less["peak"]}
    return {measure: difference / work.messages for measure, difference in grown.items()}


def _instructions() -> dict[str, dict[Measure, float]]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {
            what: [pool.submit(_counted, work, times) for times in (1, 2)] for what, work in WORKS.items()
        }
    counted = {what: [one.result() for one in both] for what, both in running.items()}
    return {
        what: {INSTRUCTIONS: (more - less) / WORKS[what].messages} for what, (less, more) in counted.items()
    }


def _counted(work: Work, times: int) -> int:
    command = [*_COUNTER, *_command(work, times)]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=_environment(),
        timeout=PATIENCE_SECONDS,
    )
    found = _COUNTED.search(done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"valgrind counted nothing: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def _command(work: Work, times: int, *more: str) -> list[str]:
    return module("counted", work.name, str(times * work.messages), str(2 * work.messages), *more)


def _environment() -> Mapping[str, str]:
    """Hashes that are alike, so that dicts and sets are walked alike."""
    return {**os.environ, "PYTHONHASHSEED": "0"}
