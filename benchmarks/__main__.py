"""`python -m benchmarks [SECTION ...]`: measures Herald beside its floors in one run and prints a table."""

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import COLUMNS, Section, rows
from benchmarks.processes import Cores, pin
from benchmarks.sections import SECTIONS, Bench
from entrypoints.tables import show_table
from tests.kafka.cluster import KafkaCluster
from tests.kafka.jars import reason_for_no_nodes

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
def _broker(cores: Cores, reason: str | None) -> Iterator[str]:
    """The address of a broker of one node, empty where `reason` says why there is none."""
    if reason:
        print(f"Kafka is left out: {reason}.", flush=True)
        yield ""
        return
    pin(cores.others)
    with KafkaCluster(1) as cluster:
        yield cluster.bootstrap_servers


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        " with uncommitted changes" if git("status", "--porcelain", "src", "containers.py") else ""
    )


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _show(sections: list[Section], bench: Bench, load_average: float) -> None:
    show_table(COLUMNS, [row for section in sections for row in rows(section)])
    print(
        f"\nMedian and spread (least to most) of {bench.rounds} rounds in turns;"
        " ratios are taken round by round."
        f"\nThe load generator was busy at most {max(section.load for section in sections):.0%} of a turn;"
        f" load average before the run {load_average:.1f}."
        f"\n{_processor()}, {os.cpu_count()} cores ({bench.cores}), Python {platform.python_version()},"
        f" {platform.system()} {platform.release()}, {datetime.now(UTC):%Y-%m-%d}, commit {_commit()}."
    )


def _note(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def main() -> None:
    given = _arguments()
    cores, load_average = Cores(), os.getloadavg()[0]
    scratch = ROOT / ".cache"  # on the checkout's disk: where a temporary folder is memory, a commit is free
    scratch.mkdir(exist_ok=True)
    reason = "--no-kafka" if given.no_kafka else reason_for_no_nodes()
    with tempfile.TemporaryDirectory(dir=scratch) as folder, _broker(cores, reason) as kafka:
        bench = Bench(
            rounds=given.rounds,
            seconds=given.seconds,
            folder=Path(folder),
            kafka=kafka,
            cores=cores,
            note=_note,
        )
        wanted = given.sections or list(SECTIONS)
        sections = [section for name in wanted for section in SECTIONS[name](bench)]
    _note("")
    _show(sections, bench, load_average)


if __name__ == "__main__":
    main()
