"""Several API processes on one port: the parent binds it, keeps the workers running and answers nothing."""

import contextlib
import logging
import pickle
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from entrypoints.child_process import ParentLink
from entrypoints.screen import tell
from entrypoints.settings import Loaded
from entrypoints.stop_signals import stopping_on_signals
from entrypoints.supervised_child import ChildSpec
from entrypoints.supervisor import Supervisor, SupervisorTimes

logger = logging.getLogger("herald.process")

WORKER = (sys.executable, "-P", "-m", "entrypoints.api_worker")
_STOP_MARGIN_SECONDS = 3.0
_LONGEST_TEMPORARY = 60  # of the 104 bytes that macOS has for a Unix socket's path


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrders:
    """What a worker is told on its stdin: the parent's settings as they were when it started.

    `socket_fd`: the listening socket. `directory`: where the workers share their counts. `supervisor_fd`:
    the parent's own link to its supervisor, so that a worker ends as soon as the parent does.
    """

    loaded: Loaded
    number: int
    socket_fd: int
    directory: Path
    supervisor_fd: int | None


async def run_workers(
    loaded: Loaded,
    listener: socket.socket,
    url: str,
    link: ParentLink,
    program: tuple[str, ...] = WORKER,
) -> int:
    """Runs until a signal; the exit code. `url`: what the supervisor is told once all workers are ready."""
    with _private_directory() as directory:
        workers = [
            _worker(
                WorkerOrders(
                    loaded=loaded,
                    number=number,
                    socket_fd=listener.fileno(),
                    directory=directory,
                    supervisor_fd=link.fd,
                ),
                program,
            )
            for number in range(1, loaded.settings.api.workers + 1)
        ]
        stop_seconds = loaded.settings.api.publish_timeout_seconds + _STOP_MARGIN_SECONDS
        supervisor = Supervisor(workers, tell, SupervisorTimes(start=inf, stop=stop_seconds))

        def stop() -> None:
            # Who connects from now on is refused instead of left waiting.
            listener.close()
            supervisor.stop()

        where = {"url": url, "workers": len(workers)}
        logger.info("API started", extra={"action": "api_started", **where})
        with stopping_on_signals(stop):
            return await supervisor.run(lambda _: link.tell_ready(url=url))


def _worker(orders: WorkerOrders, program: tuple[str, ...]) -> ChildSpec:
    given = (orders.socket_fd, orders.supervisor_fd)
    return ChildSpec(
        name=f"worker {orders.number}",
        command=program,
        pass_fds=tuple(fd for fd in given if fd is not None),
        stdin=pickle.dumps(orders),
        own_stderr=not orders.loaded.settings.logging.file,
    )


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    """Only this user can enter it, and its path leaves room for a Unix socket's name."""
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= _LONGEST_TEMPORARY else "/tmp"  # noqa: S108 - the directory itself is private
    with tempfile.TemporaryDirectory(prefix="herald-", dir=place, ignore_cleanup_errors=True) as directory:
        yield Path(directory)
