"""Child processes, where they run, and what CPU and memory they took."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE_SECONDS = 120


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


def cpu_seconds(pid: int, *, children: bool = False) -> float | None:
    """User and system time of a process with all its threads; None where there is no /proc.

    With `children` also of those it started, of theirs, and of those that have ended.
    """
    if (fields := _stat(pid)) is None:
        return None
    ticks = sum(int(field) for field in fields[11 : 15 if children else 13])
    below = _children(pid) if children else []
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(child, children=True) or 0.0 for child in below)


def peak_memory_mb(pid: int) -> float | None:
    """The most that was resident of a process so far, in MB; None where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    lines = (line.split() for line in status.read_text().splitlines())
    return next((int(line[1]) * 1024 / 1e6 for line in lines if line[0] == "VmHWM:"), None)


def _stat(pid: int) -> list[str] | None:
    """The fields after the name, from the process's state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # ended, or no /proc
        return None


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listed in lists for child in listed.read_text().split()]


def tied(command: Sequence[str]) -> list[str]:
    """The command of the same program that is killed when we end, however we end."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("tied.py")), *command]


def run(command: Sequence[str], *, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """Runs a program to its end; the JSON object that it prints last."""
    done = subprocess.run(tied(command), check=False, stdout=subprocess.PIPE, timeout=patience_seconds)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed; its error stands above")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def module(name: str, *arguments: str) -> list[str]:
    """The command of a module of this package."""
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]


def run_module(name: str, *arguments: str, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    return run(module(name, *arguments), patience_seconds=patience_seconds)


class Server:
    """A program that prints its port once it answers and ends with its stdin, so also with us.

    `children`: whether the CPU of the processes that it starts is its own.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, children: bool = False
    ) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=None if environment is None else {**os.environ, **environment},
        )
        self._children = children
        self.port = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu(self) -> float | None:
        return cpu_seconds(self.pid, children=self._children)

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self._command)} did not start; its error stands above")
        self.port = int(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=PATIENCE_SECONDS)
