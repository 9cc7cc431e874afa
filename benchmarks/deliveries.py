"""What the sections about delivering share: filled topics, and consumers run on the measured core."""

import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from benchmarks.bench import Bench
from benchmarks.consumer import Job
from benchmarks.figures import Turn
from benchmarks.processes import PATIENCE_SECONDS, module, pin, run, run_module
from benchmarks.site import GROUP, Site

Mark = Sequence[float]
"""How many were delivered by then, seconds on the machine's monotonic clock, seconds of CPU."""


def site_of(bench: Bench, log: str, topic: str) -> Site:
    return Site(log=log, topic=topic, folder=str(bench.folder), kafka=bench.kafka if log == "kafka" else "")


def fill_topic(site: Site, count: int) -> None:
    run_module("fill", json.dumps(asdict(site)), str(count))


class RunningConsumer:
    """A consumer that is ready when the block begins, and gone after it, also where the block fails."""

    def __init__(self, bench: Bench, job: Job) -> None:
        pin(bench.cores.measured)
        self._process = subprocess.Popen(command_of(job), stdout=subprocess.PIPE)
        pin(bench.cores.others)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def await_ready(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "ready" in json.loads(line):
                return
        raise SystemExit("a consumer did not start; its error stands above")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def result(self) -> dict[str, Any]:
        """What it prints once it has delivered enough or was stopped."""
        printed, _ = self._process.communicate(timeout=PATIENCE_SECONDS)
        if self._process.returncode:
            raise SystemExit("a consumer failed; its error stands above")
        answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return answer


def forget_deliveries(site: Site) -> None:
    """On SQLite a group that knows nothing is one without its file."""
    for left in site.database.parent.glob(f"{site.topic}.{GROUP}.*"):
        left.unlink()


def command_of(job: Job) -> list[str]:
    return module("consumer", json.dumps(asdict(job)))


def run_measured(
    bench: Bench, command: Sequence[str], patience_seconds: float = PATIENCE_SECONDS
) -> dict[str, Any]:
    """Runs a program to its end on the measured core; the JSON object that it prints last."""
    pin(bench.cores.measured)
    try:
        return run(command, patience_seconds=patience_seconds)
    finally:
        pin(bench.cores.others)


def between(began: Mark, ended: Mark) -> Turn:
    return Turn.counted(ended[0] - began[0], ended[1] - began[1], ended[2] - began[2])
