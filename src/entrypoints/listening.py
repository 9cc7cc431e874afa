"""A port to listen on: bound at once, or one line that names the setting to change."""

import errno
import socket

from domain.errors import HeraldError

BACKLOG = 2048


def listen_on(host: str, port: int, setting: str) -> socket.socket:
    """A listening TCP socket; port 0 takes any free one.

    Raises `HeraldError` naming `setting` (such as `[inbox] smtp_port`) when the port cannot be had.
    """
    try:
        sock = bound_socket(host, port)
    except OSError as error:
        raise HeraldError(_refusal(host, port, setting, error)) from error
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise HeraldError(_refusal(host, port, setting, error)) from error
    return sock


def bound_socket(host: str, port: int) -> socket.socket:
    """A TCP socket that is bound but does not listen: who connects to it is refused. Raises OSError."""
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


def _refusal(host: str, port: int, setting: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what listens there, or set {setting} to another"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is not allowed to this user: set {setting} to one above 1023"
    return f"cannot listen on {host} port {port} ({error.strerror}): check the host beside {setting}"
