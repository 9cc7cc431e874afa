"""One of several API processes, started by `api_workers`; `python -m entrypoints.api_worker`."""

import asyncio
import contextlib
import pickle
import socket
import sys

from containers import Container
from domain.errors import HeraldError
from entrypoints.api_process import ApiProcess
from entrypoints.api_workers import WorkerOrders
from entrypoints.child_process import ParentLink, end_with_parent
from entrypoints.logs import configure_logging, say
from entrypoints.rare_collections import end_with
from entrypoints.worker_counts import WorkerCounts


class WorkerLink(ParentLink):
    """What a worker waits for is told to the parent's supervisor too; ready is for the parent to say."""

    def __init__(self, fd: int, supervisor: ParentLink) -> None:
        super().__init__(fd)
        self._supervisor = supervisor

    def tell_waiting(self, reason: str) -> None:
        super().tell_waiting(reason)
        self._supervisor.tell_waiting(reason)


def run_worker(orders: WorkerOrders, parent_fd: int) -> int:
    """Runs until SIGTERM; the exit code."""
    settings = orders.loaded.settings
    name = f"api-worker-{orders.number}"
    try:
        with contextlib.closing(configure_logging(settings.logging, name, orders.loaded.secrets())):
            end_with_parent(parent_fd)
            link = WorkerLink(parent_fd, end_with_parent(orders.supervisor_fd))
            view = "" if orders.status_file is None else str(orders.status_file)
            container = Container(settings=settings, status_file=view)
            with socket.socket(fileno=orders.socket_fd) as listener:
                process = ApiProcess(
                    container,
                    listener,
                    link,
                    shared=WorkerCounts(orders.directory, orders.number, container.produce_counts()),
                    has_duties=orders.number == 1,
                )
                asyncio.run(process.run(""))
    except HeraldError as error:
        say(str(error))
        return 1
    return 0


def main(arguments: list[str]) -> int:
    """`arguments` end with `--supervised-by FD`; the orders come on stdin."""
    # Our own parent wrote it, into a pipe that nobody else has.
    orders = pickle.load(sys.stdin.buffer)  # noqa: S301 - see above
    return run_worker(orders, int(arguments[-1]))


if __name__ == "__main__":
    end_with(lambda: main(sys.argv))
