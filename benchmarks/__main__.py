"""`python -m benchmarks [SECTION ...]`: Herald beside floors and peers, in one run and one table."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.circumstances import circumstances, in_a_line
from benchmarks.processes import Cores, pin
from benchmarks.programs import ensure, say
from benchmarks.report import main as report
from benchmarks.results import COMMITTED, LAST, Run, read, write
from benchmarks.sections import SECTIONS, chosen
from benchmarks.table import COLUMNS, not_shown, rows
from entrypoints.tables import show_table
from tests.kafka.cluster import KafkaCluster
from tests.kafka.jars import KafkaMissing

ROOT = Path(__file__).parents[1]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"of {', '.join(SECTIONS)}; `growth` is all of its; all but growth if none is named",
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn of requests (default: 1)")
    parser.add_argument("--no-kafka", action="store_true", help="leave Kafka out")
    parser.add_argument(
        "--save",
        action="store_true",
        help="into benchmarks/results, and draw README's figures and the charts",
    )
    given = parser.parse_args()
    if given.rounds < 1 or given.seconds <= 0:
        parser.error("--rounds is at least 1, --seconds more than 0")
    if unknown := [name for name in given.sections if not chosen([name])]:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return given


@contextlib.contextmanager
def _bench(given: argparse.Namespace) -> Iterator[Bench]:
    scratch = ROOT / ".cache"  # on the checkout's disk: where a temporary folder is memory, a commit is free
    scratch.mkdir(exist_ok=True)
    cores = Cores()
    with tempfile.TemporaryDirectory(dir=scratch) as folder, contextlib.ExitStack() as stack:

        def broker() -> str:
            if given.no_kafka or not ensure("java", "mvn"):
                return ""
            pin(cores.others)
            try:
                return stack.enter_context(KafkaCluster(1)).bootstrap_servers
            except KafkaMissing as reason:
                say(f"Kafka is left out: {reason}")
                return ""

        pin(cores.others)
        yield Bench(
            rounds=given.rounds,
            seconds=given.seconds,
            folder=Path(folder),
            cores=cores,
            note=_note,
            broker=broker,
        )


def _measured(bench: Bench, name: str, where: Mapping[str, str]) -> Run | None:
    """A section that fails has said why; the others' figures are not lost with it."""
    began = time.monotonic()
    try:
        run = Run(where, SECTIONS[name](bench))
    except (SystemExit, subprocess.TimeoutExpired) as reason:
        _note("")
        say(f"{name}: {reason}")
        return None
    _note("")
    took = f"Measured: {name}, in {time.monotonic() - began:.0f} s"
    say(took if run.sections else f"Left out: {name}, for what it needs is not here")
    return run


def _show(runs: Mapping[str, Run], bench: Bench, where: Mapping[str, str]) -> None:
    sections = [section for run in runs.values() for section in run.sections]
    show_table(COLUMNS, [row for name, run in runs.items() for row in _rows(name, run)])
    for line in dict.fromkeys(line for section in sections for line in not_shown(section)):
        print(f"Not shown: {line} in this run.")
    print(
        f"\nMedian and spread (least to most) of {where['rounds']} rounds in turns, of fewer where a turn is"
        " long; ratios are taken round by round."
        f"\nThe load generator was busy at most {max(section.load for section in sections):.0%} of a turn;"
        f" load average before the run {where['load average']}."
        f"\n{in_a_line(where)}; {bench.cores}."
    )


def _rows(name: str, run: Run) -> Iterator[list[str]]:
    committed = read(COMMITTED, name)
    for section in run.sections:
        yield from rows(section, committed and committed.section(section.name))


def _note(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def main() -> None:
    given = _arguments()
    load_average = f"{os.getloadavg()[0]:.1f}"
    where = {
        **circumstances(),
        "rounds": f"{given.rounds}",
        "seconds": f"{given.seconds:g}",
        "load average": load_average,
    }
    with _bench(given) as bench:
        runs = {name: _measured(bench, name, where) for name in chosen(given.sections)}
    _note("")
    measured = {name: run for name, run in runs.items() if run and run.sections}
    if measured:
        _show(measured, bench, where)
    for name, run in measured.items():
        write(COMMITTED if given.save else LAST, name, run)
    if given.save:
        report()
    sys.exit(None in runs.values())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended so, it tidies up too
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
