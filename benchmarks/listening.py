"""Servers as their users run them: on a given port, asked until they are ready, ended by SIGTERM."""

import http.client
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.processes import PATIENCE_SECONDS, cpu_seconds, tied

_POLL_SECONDS = 0.02
_OURS = "HERALD_"


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """This process's without settings of Herald's that somebody has set here, and what is given."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | dict(given)


class Program:
    """A server that is told its port. `health`: the path that answers 200 once it can do its job.

    `folder`: where it runs; its stderr goes into a file there. `children`: whether the CPU of the processes
    that it starts is its own.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        *,
        folder: Path,
        health: str,
        given: Mapping[str, str],
        children: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self._health = health
        self._children = children
        self._complaints = folder / "stderr.log"
        with self._complaints.open("wb") as complaints:
            self._process = subprocess.Popen(
                tied(command),
                cwd=folder,
                env=environment(given),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu(self) -> float | None:
        return cpu_seconds(self.pid, children=self._children)

    def __enter__(self) -> Self:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while status(self.port, self._health) != http.client.OK:
            if self._process.poll() is not None or time.monotonic() > deadline:
                end(self._process)
                raise SystemExit(f"a server did not start; it says:\n{self._complaints.read_text()}")
            time.sleep(_POLL_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self._process)


def end(process: subprocess.Popen[bytes]) -> None:
    """By SIGTERM, or by force where that does not help."""
    process.terminate()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def status(port: int, path: str, body: bytes | None = None) -> int | None:
    """The status that one request of its own connection gets; None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    method, headers = ("GET", {}) if body is None else ("POST", {"Content-Type": "application/json"})
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
