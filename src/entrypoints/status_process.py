"""Keeps the view of what became of messages, for an API; `python -m entrypoints.status_process`.

One for all of an API's workers, and none of them: reading the log costs no produce request anything.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import sys
from contextlib import AsyncExitStack

from containers import Container
from domain.errors import HeraldError
from entrypoints.child_process import ParentLink, end_with_parent
from entrypoints.logs import configure_logging, say
from entrypoints.rare_collections import end_with
from entrypoints.status_child import StatusOrders
from entrypoints.stop_signals import stopping_on_signals

logger = logging.getLogger("herald.status")

_NICENESS = 5  # where the machine is busy, producing comes first


def run_status(orders: StatusOrders, parent_fd: int) -> int:
    """Runs until SIGTERM; the exit code."""
    settings = orders.loaded.settings
    try:
        with contextlib.closing(configure_logging(settings.logging, "api-status", orders.loaded.secrets())):
            end_with_parent(orders.supervisor_fd)
            link = end_with_parent(parent_fd)
            asyncio.run(_serve(Container(settings=settings, status_file=str(orders.file)), link))
    except HeraldError as error:
        say(str(error))
        return 1
    return 0


async def _serve(container: Container, link: ParentLink) -> None:
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(stopping_on_signals(stop.set))
        # The API waits for nothing of it. Who ends before being ready is not started again, and ends all
        # that start with it: a temporary folder without room must not stop the API's workers.
        link.tell_ready()
        await stack.enter_async_context(container.status_store())
        await stack.enter_async_context(container.status_feed())
        logger.info("The status view is being built", extra={"action": "status_view_started"})
        building = asyncio.create_task(container.build_status().run())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({building, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (building, stopped):
            task.cancel()
        results = await asyncio.gather(building, stopped, return_exceptions=True)
        for failure in (result for result in results if isinstance(result, Exception)):
            logger.error("the status view ends: %s", failure, extra={"action": "status_view_failed"})
            raise failure


def give_way() -> None:
    """Lets others go first, where that is allowed: a unit of systemd's may not ask for it."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)


def main(arguments: list[str]) -> int:
    """`arguments` end with `--supervised-by FD`; the orders come on stdin."""
    # Our own parent wrote it, into a pipe that nobody else has.
    orders = pickle.load(sys.stdin.buffer)  # noqa: S301 - see above
    give_way()
    parent = os.getppid()
    code = run_status(orders, int(arguments[-1]))
    if os.getppid() != parent:
        # It was killed, so nobody else tidies up what it made for this file.
        with contextlib.suppress(OSError):
            orders.file.parent.rmdir()
    return code


if __name__ == "__main__":
    end_with(lambda: main(sys.argv))
