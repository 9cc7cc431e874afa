"""What a section is given: how long to measure, where, and a broker."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.processes import Cores


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One run. `seconds`: of a turn of requests. `folder`: on the checkout's disk, gone after the run."""

    rounds: int
    seconds: float
    folder: Path
    cores: Cores
    note: Callable[[str], None]
    broker: Callable[[], str]

    @cached_property
    def kafka(self) -> str:
        """The address of a broker of one node, started when first asked for; empty where there is none."""
        return self.broker()
