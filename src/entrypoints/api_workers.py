"""Several API processes on one port: the parent binds it, keeps the workers running and answers nothing."""

import logging
import pickle
import socket
import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path

from entrypoints.child_process import ParentLink
from entrypoints.private_directory import private_directory
from entrypoints.screen import tell
from entrypoints.settings import Loaded
from entrypoints.status_child import StatusOrders, keeps_status, status_child, status_file
from entrypoints.stop_signals import stopping_on_signals
from entrypoints.supervised_child import ChildSpec
from entrypoints.supervisor import Supervisor, SupervisorTimes

logger = logging.getLogger("herald.process")

WORKER = (sys.executable, "-P", "-m", "entrypoints.api_worker")
_STOP_MARGIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrders:
    """What a worker is told on its stdin: the parent's settings as they were when it started.

    `socket_fd`: the listening socket. `directory`: where the workers share their counts. `supervisor_fd`:
    the parent's own link to its supervisor, so that a worker ends as soon as the parent does. `status_file`:
    where another child keeps the view of what became of messages, if one does.
    """

    loaded: Loaded
    number: int
    socket_fd: int
    directory: Path
    supervisor_fd: int | None
    status_file: Path | None = None


async def run_workers(
    loaded: Loaded,
    listener: socket.socket,
    url: str,
    link: ParentLink,
    program: tuple[str, ...] = WORKER,
) -> int:
    """Runs until a signal; the exit code. `url`: what the supervisor is told once all workers are ready."""
    with private_directory() as directory:
        view = status_file(directory) if keeps_status(loaded.settings) else None
        workers = [
            _worker(
                WorkerOrders(
                    loaded=loaded,
                    number=number,
                    socket_fd=listener.fileno(),
                    directory=directory,
                    supervisor_fd=link.fd,
                    status_file=view,
                ),
                program,
            )
            for number in range(1, loaded.settings.api.workers + 1)
        ]
        stop_seconds = loaded.settings.api.publish_timeout_seconds + _STOP_MARGIN_SECONDS
        children = [*workers, *_status_view(loaded, view, link)]
        supervisor = Supervisor(children, tell, SupervisorTimes(start=inf, stop=stop_seconds))

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


def _status_view(loaded: Loaded, file: Path | None, link: ParentLink) -> list[ChildSpec]:
    """The one child beside the workers that reads the log for the view, where there is one."""
    if file is None:
        return []
    return [status_child(StatusOrders(loaded=loaded, file=file, supervisor_fd=link.fd))]
