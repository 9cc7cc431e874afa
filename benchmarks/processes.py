"""Child processes, where they run, and the CPU they took."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE_SECONDS = 60


class Cores:
    """The measured process has a core of its own; load generator and brokers share the others."""

    def __init__(self) -> None:
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.measured = set(allowed[:1])
        self.others = set(allowed[1:]) or self.measured

    def __str__(self) -> str:
        if not self.measured:
            return "not pinned"
        measured, others = (
            ",".join(str(core) for core in sorted(cores)) for cores in (self.measured, self.others)
        )
        return f"measured process on core {measured}, load generator and broker on {others}"


def pin(cores: set[int]) -> None:
    """This process and those it starts from now on."""
    if cores:
        os.sched_setaffinity(0, cores)


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process with all its threads; None where there is no /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_module(module: str, *arguments: str) -> dict[str, Any]:
    """Runs a module of this package to its end; the JSON object it prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        check=False,
        stdout=subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
    )
    if done.returncode:
        raise SystemExit(f"benchmarks.{module} {' '.join(arguments)} failed; its error stands above")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Server:
    """A server of `benchmarks.server` on a port of its own; ends with its stdin, so also with us."""

    def __init__(self, variant: str, folder: Path, kafka: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", variant, str(folder), kafka],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.port = 0

    @property
    def cpu(self) -> float | None:
        return cpu_seconds(self._process.pid)

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a server did not start; its error stands above")
        self.port = int(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=PATIENCE_SECONDS)
