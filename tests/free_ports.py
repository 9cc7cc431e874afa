"""Ports for processes that must be told theirs before they start."""

import contextlib
import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator

# Below every system's ephemeral range: no client's socket takes one between the asking and the start.
FIRST = 20_000
SHARES, SHARE = 8, 1_500  # workers of pytest-xdist, and the ports of each


def free_ports(count: int) -> list[int]:
    """All different. Nobody listens on them now, and no worker of this run is given them for long."""
    return list(itertools.islice(filter(_is_free, _ports_of_this_worker()), count))


@functools.cache
def _ports_of_this_worker() -> Iterator[int]:
    """In turn, from anywhere: another run on this machine hardly begins at the same one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw") or 0)
    begin = FIRST + worker % SHARES * SHARE
    start = random.randrange(SHARE)
    return itertools.cycle([begin + (start + number) % SHARE for number in range(SHARE)])


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
