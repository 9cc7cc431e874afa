"""What the sections about delivering share: filled topics, and consumers run on the measured core."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.bench import Bench
from benchmarks.consumer import Job
from benchmarks.figures import Turn
from benchmarks.processes import module, pin, run, run_module
from benchmarks.site import GROUP, Site

Mark = Sequence[float]
"""How many were delivered by then, seconds on the machine's monotonic clock, seconds of CPU."""


def site_of(bench: Bench, log: str, topic: str) -> Site:
    return Site(log=log, topic=topic, folder=str(bench.folder), kafka=bench.kafka if log == "kafka" else "")


def fill_topic(site: Site, count: int) -> None:
    run_module("fill", json.dumps(asdict(site)), str(count))


def forget_deliveries(site: Site) -> None:
    """On SQLite a group that knows nothing is one without its file."""
    for left in site.database.parent.glob(f"{site.topic}.{GROUP}.*"):
        left.unlink()


def command_of(job: Job) -> list[str]:
    return module("consumer", json.dumps(asdict(job)))


def run_measured(bench: Bench, command: Sequence[str]) -> dict[str, Any]:
    """Runs a program to its end on the measured core; the JSON object that it prints last."""
    pin(bench.cores.measured)
    try:
        return run(command)
    finally:
        pin(bench.cores.others)


def between(began: Mark, ended: Mark) -> Turn:
    return Turn.counted(ended[0] - began[0], ended[1] - began[1], ended[2] - began[2])
