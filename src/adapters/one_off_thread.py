"""A thread for one job that may hang: a name server, a disk."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def in_thread(name: str, job: Callable[[], T]) -> T:
    """The job's result or its error.

    On a daemon: asyncio's own threads would keep the process from ending until the job does.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            settled = partial(answer.set_result, job())
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
            settled = partial(answer.set_exception, error)
        with suppress(RuntimeError):  # nobody is left to tell once the loop is closed
            loop.call_soon_threadsafe(lambda: answer.done() or settled())

    Thread(target=run, name=name, daemon=True).start()
    return await answer


async def name_fault(host: str, seconds: float) -> str:
    """Why this host's name leads nowhere, in a few words; empty where it has an address."""
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return ""
    try:
        async with asyncio.timeout(seconds):
            await in_thread("name lookup", lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except TimeoutError:
        return f"the name server did not tell the address of {host} within {seconds:g} s"
    except (OSError, UnicodeError) as error:
        return f"the name {host} has no address ({getattr(error, 'strerror', None) or 'no host name'})"
    return ""
