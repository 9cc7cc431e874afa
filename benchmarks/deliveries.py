"""What the sections about delivering share: filled topics, and consumers run on the measured core."""

import json
import signal
import socket
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
    """A consumer on the measured core, with us as its supervisor; gone after the block, however that ends."""

    def __init__(self, bench: Bench, job: Job) -> None:
        self._link, link = socket.socketpair()
        command = module("consumer", json.dumps(asdict(job)), str(link.fileno()))
        pin(bench.cores.measured)
        with link:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[link.fileno()])
        pin(bench.cores.others)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._link.close()

    def await_ready(self) -> None:
        with self._link.makefile() as lines:
            if any("ready" in json.loads(line) for line in lines):
                return
        raise SystemExit("a consumer did not start; its error stands above")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def result(self, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """What it prints once it has delivered enough or was stopped."""
        printed, _ = self._process.communicate(timeout=patience_seconds)
        if self._process.returncode:
            raise SystemExit("a consumer failed; its error stands above")
        answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return answer


def forget_deliveries(site: Site) -> None:
    """On SQLite a group that knows nothing is one without its file."""
    for left in site.database.parent.glob(f"{site.topic}.{GROUP}.*"):
        left.unlink()


def run_consumer(bench: Bench, job: Job, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """Runs a consumer until it has delivered enough; its result."""
    with RunningConsumer(bench, job) as consumer:
        return consumer.result(patience_seconds)


def run_measured(bench: Bench, command: Sequence[str]) -> dict[str, Any]:
    """Runs a program to its end on the measured core; the JSON object that it prints last."""
    pin(bench.cores.measured)
    try:
        return run(command)
    finally:
        pin(bench.cores.others)


def between(began: Mark, ended: Mark) -> Turn:
    return Turn.counted(ended[0] - began[0], ended[1] - began[1], ended[2] - began[2])
