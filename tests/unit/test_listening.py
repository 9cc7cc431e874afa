import errno
import socket

import pytest

from domain.errors import HeraldError
from entrypoints.listening import bound_socket, listen_on, port_of, refusal


def test_port_zero_takes_any_free_port_and_tells_it() -> None:
    with (
        listen_on("127.0.0.1", 0, "[consumer] port") as sock,
        socket.create_connection(("127.0.0.1", port_of(sock))) as client,
    ):
        assert client.getpeername() == ("127.0.0.1", port_of(sock))


def test_a_port_in_use_names_the_setting_to_change() -> None:
    with listen_on("127.0.0.1", 0, "") as taken:
        port = port_of(taken)
        with pytest.raises(HeraldError) as refused:
            listen_on("127.0.0.1", port, "[consumer] port")

    assert str(refused.value) == (
        f"port {port} on 127.0.0.1 is in use: stop what listens there, or set [consumer] port to another"
    )


def test_a_port_that_was_bound_by_two_goes_to_the_first_that_listens() -> None:
    with bound_socket("127.0.0.1", 0) as first, bound_socket("127.0.0.1", port_of(first)) as second:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            second.listen()


def test_who_connects_to_a_port_that_is_only_bound_is_refused() -> None:
    with bound_socket("127.0.0.1", 0) as bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(bound)))


@pytest.mark.parametrize("host", ["192.0.2.1", "x" * 64 + ".localhost"])
def test_a_host_that_is_not_here_is_one_line(host: str) -> None:
    with pytest.raises(
        HeraldError, match=r"^cannot listen on \S+ port 8025 \(.+\): check the host beside x$"
    ):
        listen_on(host, 8025, "x")


def test_a_port_kept_for_the_administrator_says_so() -> None:
    text = refusal("127.0.0.1", 25, "[inbox] smtp_port", PermissionError(errno.EACCES, "Permission denied"))

    assert text == (
        "port 25 on 127.0.0.1 is not allowed to this user: set [inbox] smtp_port to one above 1023"
    )
