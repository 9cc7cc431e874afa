"""A port to listen on: bound at once, or one line that names the setting to change."""

import asyncio
import errno
import socket
from contextlib import ExitStack

from domain.errors import HeraldError

BACKLOG = 2048
_ACCEPT_TURNS = 5  # asyncio takes three from accept to connection_made


def listen_on(host: str, port: int, setting: str) -> socket.socket:
    """A listening TCP socket; port 0 takes any free one.

    Raises `HeraldError` naming `setting` (such as `[inbox] smtp_port`) when the port cannot be had.
    """
    try:
        with ExitStack() as closing:
            sock = closing.enter_context(bound_socket(host, port))
            sock.listen(BACKLOG)
            closing.pop_all()
    except (OSError, UnicodeError) as error:
        raise HeraldError(refusal(host, port, setting, error)) from error
    return sock


def bound_socket(host: str, port: int) -> socket.socket:
    """A TCP socket that is bound but does not listen: who connects is refused. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        # Without it a restart would have to wait until the last connections are forgotten.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(0)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


async def last_accepted() -> None:
    """Waits, after a listener was closed, until what it had just accepted has reached its protocol.

    Without it such a connection would outlive the closing, unseen.
    """
    for _ in range(_ACCEPT_TURNS):
        await asyncio.sleep(0)


def refusal(host: str, port: int, setting: str, error: OSError | UnicodeError) -> str:
    """Why the port cannot be had, and what to do, in one line."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what listens there, or set {setting} to another"
    if number == errno.EACCES:
        return f"port {port} on {host} is not allowed to this user: set {setting} to one above 1023"
    reason = error.strerror if isinstance(error, OSError) else "not a host name"
    return f"cannot listen on {host} port {port} ({reason}): check the host beside {setting}"
