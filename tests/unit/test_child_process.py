"""A child ends when its parent's end of the link closes, and tells its parent how it is."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from entrypoints.child_process import ParentLink, end_with_parent, tell_when_ready

SOURCE = str(Path(__file__).parents[2] / "src")
STARTS = (
    "import sys, signal, threading\n"
    f"sys.path.insert(0, {SOURCE!r})\n"
    "from entrypoints.child_process import end_with_parent\n"
)


def start_child(code: str, fd: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", STARTS + code, str(fd)]
    return subprocess.Popen(command, pass_fds=(fd,), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


class Waiting:
    """Answers reasons in turn, then None."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = list(reasons)

    async def unready(self) -> str | None:
        return self.reasons.pop(0) if self.reasons else None


def heard(link: socket.socket) -> list[object]:
    return [json.loads(line) for line in link.recv(4096).splitlines()]


def test_a_child_gets_sigterm_when_its_parents_end_closes() -> None:
    ours, theirs = socket.socketpair()
    waits = "end_with_parent(int(sys.argv[1]))\nprint('up', flush=True)\nsignal.pause()\n"
    with theirs, start_child(waits, theirs.fileno()) as child:
        assert child.stdout is not None
        child.stdout.readline()
        ours.close()
        code = child.wait(30)

    assert code == -signal.SIGTERM


def test_a_child_that_does_not_obey_is_gone_after_the_grace() -> None:
    ours, theirs = socket.socketpair()
    stubborn = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "end_with_parent(int(sys.argv[1]), 0.05)\nprint('up', flush=True)\nthreading.Event().wait()\n"
    )
    with theirs, start_child(stubborn, theirs.fileno()) as child:
        assert child.stdout is not None
        child.stdout.readline()
        ours.close()
        code = child.wait(30)

    assert code == 1


def test_a_child_whose_parent_died_before_it_looked_ends_too() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    waits = "end_with_parent(int(sys.argv[1]))\nsignal.pause()\n"
    with theirs, start_child(waits, theirs.fileno()) as child:
        code = child.wait(30)

    assert code == -signal.SIGTERM


def test_a_plain_pipe_will_do_as_a_link() -> None:
    reading, writing = os.pipe()
    with start_child("end_with_parent(int(sys.argv[1]))\nsignal.pause()\n", reading) as child:
        os.close(reading)
        os.close(writing)
        code = child.wait(30)

    assert code == -signal.SIGTERM


def test_without_a_parent_nothing_is_watched_and_nothing_is_told() -> None:
    link = end_with_parent(None)
    link.tell_ready(url="http://127.0.0.1:1")
    link.tell_waiting("for nothing")

    assert not link.is_supervised


def test_what_a_child_tells_is_one_json_object_a_line() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = ParentLink(theirs.fileno())
        link.tell_waiting("no broker")
        link.tell_ready(url="http://127.0.0.1:8080")
        told = heard(ours)

    assert link.is_supervised
    assert told == [{"waiting": "no broker"}, {"ready": {"url": "http://127.0.0.1:8080"}}]


def test_telling_a_parent_that_is_gone_is_harmless() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        ParentLink(theirs.fileno()).tell_ready()


async def test_readiness_is_told_once_with_each_new_reason_before_it() -> None:
    ours, theirs = socket.socketpair()
    waiting = Waiting(["no broker", "no broker", "joining"])
    with ours, theirs:
        async with asyncio.timeout(30):
            await tell_when_ready(ParentLink(theirs.fileno()), waiting.unready, url="u")
        told = heard(ours)

    assert told == [{"waiting": "no broker"}, {"waiting": "joining"}, {"ready": {"url": "u"}}]


@pytest.mark.parametrize("fd", [-1])
def test_a_descriptor_that_is_not_open_is_refused(fd: int) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        end_with_parent(fd)
