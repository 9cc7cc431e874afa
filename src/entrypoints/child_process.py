"""A child's side of the link to the process that started it.

The link is one end of a socket pair, handed over as an open file descriptor. The other end is held by the
parent alone, so it closes when the parent dies, however it dies; that works the same on Linux and macOS.
Towards the parent the child writes one JSON object a line: what it still waits for, then that it is ready.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable

GRACE_SECONDS = 1.3  # of the two seconds after which nothing may be left
_POLL_SECONDS = 0.05

logger = logging.getLogger("herald.process")


class ParentLink:
    """What a child tells its parent. Without a parent (`fd` None) every call does nothing."""

    def __init__(self, fd: int | None) -> None:
        self.fd = fd

    @property
    def is_supervised(self) -> bool:
        return self.fd is not None

    def tell_ready(self, **facts: str) -> None:
        """The child can do its job. `facts` are for the start screen, such as `url`. Twice is harmless."""
        self._tell({"ready": facts})

    def tell_waiting(self, reason: str) -> None:
        """The child runs, but cannot do its job yet, and why."""
        self._tell({"waiting": reason})

    def _tell(self, message: dict[str, object]) -> None:
        if self.fd is None:
            return
        # A parent that is gone is the watching thread's business.
        with contextlib.suppress(OSError):
            os.write(self.fd, json.dumps(message).encode() + b"\n")


def end_with_parent(fd: int | None, grace_seconds: float = GRACE_SECONDS) -> ParentLink:
    """From now on this process ends when the other end of `fd` closes.

    It gets SIGTERM from itself, and `grace_seconds` later it is gone, whatever its main thread is doing.
    """
    if fd is not None:
        os.set_inheritable(fd, False)  # noqa: FBT003 - the library's own signature
        watcher = threading.Thread(
            target=_watch, args=(fd, grace_seconds), name="parent-watcher", daemon=True
        )
        watcher.start()
    return ParentLink(fd)


def _watch(fd: int, grace_seconds: float) -> None:
    with contextlib.suppress(OSError):
        while os.read(fd, 64):
            pass
    logger.warning("The supervisor is gone, ending too", extra={"action": "supervisor_gone"})
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os._exit(1)


async def tell_when_ready(
    link: ParentLink, unready: Callable[[], Awaitable[str | None]], **facts: str
) -> None:
    """Tells the parent once `unready` answers None; until then, why not, each time the reason changes."""
    told = ""
    while (reason := await unready()) is not None:
        if reason != told:
            link.tell_waiting(reason)
            told = reason
        await asyncio.sleep(_POLL_SECONDS)
    link.tell_ready(**facts)
