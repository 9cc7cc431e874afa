"""`python -m benchmarks [SECTION ...]`: Herald beside floors and peers, in one run and one table."""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.circumstances import circumstances
from benchmarks.figures import Section
from benchmarks.processes import Cores, pin
from benchmarks.programs import ensure, say
from benchmarks.sections import SECTIONS
from benchmarks.table import COLUMNS, not_shown, rows
from entrypoints.tables import show_table
from tests.kafka.cluster import KafkaCluster

ROOT = Path(__file__).parents[1]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all if none"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn of requests (default: 1)")
    parser.add_argument("--no-kafka", action="store_true", help="leave Kafka out")
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
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
            return stack.enter_context(KafkaCluster(1)).bootstrap_servers

        pin(cores.others)
        yield Bench(
            rounds=given.rounds,
            seconds=given.seconds,
            folder=Path(folder),
            cores=cores,
            note=_note,
            broker=broker,
        )


def _measured(bench: Bench, name: str) -> list[Section]:
    """A part that fails has said why; the others' figures are not lost with it."""
    try:
        return SECTIONS[name](bench)
    except SystemExit as reason:
        _note("")
        say(f"{name}: {reason}")
        return []


def _show(sections: list[Section], bench: Bench, load_average: float) -> None:
    show_table(COLUMNS, [row for section in sections for row in rows(section)])
    for line in dict.fromkeys(line for section in sections for line in not_shown(section)):
        print(f"Not shown: {line} in this run.")
    print(
        f"\nMedian and spread (least to most) of {bench.rounds} rounds in turns;"
        " ratios are taken round by round."
        f"\nThe load generator was busy at most {max(section.load for section in sections):.0%} of a turn;"
        f" load average before the run {load_average:.1f}."
        f"\n{circumstances()}; {bench.cores}."
    )


def _note(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def main() -> None:
    given, load_average = _arguments(), os.getloadavg()[0]
    wanted = given.sections or list(SECTIONS)
    with _bench(given) as bench:
        measured = {name: _measured(bench, name) for name in wanted}
    _note("")
    if sections := [section for part in measured.values() for section in part]:
        _show(sections, bench, load_average)
    sys.exit(any(not part for part in measured.values()))


if __name__ == "__main__":
    main()
