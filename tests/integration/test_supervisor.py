"""A supervisor as a process of its own: what becomes of its children, however it ends.

Every process of a test holds the writing end of one pipe: it reads as ended when the last of them is gone.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.rig import until

ROOT = Path(__file__).parents[2]
CHILD = """
import signal, sys, threading
from entrypoints.child_process import end_with_parent
stop = threading.Event()
signal.signal(signal.SIGTERM, (lambda *_: stop.set()) if sys.argv[1] == "obeys" else signal.SIG_IGN)
link = end_with_parent(int(sys.argv[-1]))
link.tell_ready()
if sys.argv[1] == "obeys":
    stop.wait()
else:
    threading.Event().wait()
"""
SUPERVISOR = """
import asyncio, json, logging, sys
from entrypoints.screen import tell
from entrypoints.stop_signals import stopping_on_signals
from entrypoints.supervised_child import ChildSpec
from entrypoints.supervisor import Supervisor, SupervisorTimes

logging.getLogger().addHandler(logging.NullHandler())
child, lifeline, stop_seconds, *manners = sys.argv[1:]
python = (sys.executable, "-c", child)
children = [
    ChildSpec(name=f"child {number}", command=(*python, manner), pass_fds=(int(lifeline),))
    for number, manner in enumerate(manners)
]

async def supervise():
    supervisor = Supervisor(children, tell, SupervisorTimes(stop=float(stop_seconds)))
    with stopping_on_signals(supervisor.stop):
        return await supervisor.run(lambda started: print(json.dumps(sorted(started.ready)), flush=True))

sys.exit(asyncio.run(supervise()))
"""


class Family:
    """A running supervisor, its screen, and the pipe that ends with the last of them."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int) -> None:
        self.process = process
        self.lifeline = lifeline

    async def ready(self) -> Any:
        return json.loads(await _line(self.process.stdout))

    async def said(self) -> str:
        return (await _line(self.process.stderr)).decode()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    async def seconds_until_all_are_gone(self) -> float:
        begin = time.monotonic()
        gone = await asyncio.wait_for(asyncio.to_thread(os.read, self.lifeline, 1), 30)
        assert gone == b""
        return time.monotonic() - begin


async def _line(stream: asyncio.StreamReader | None) -> bytes:
    assert stream is not None
    return await asyncio.wait_for(stream.readline(), 30)


@asynccontextmanager
async def family(manners: Sequence[str], stop_seconds: float = 20.0) -> AsyncIterator[Family]:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # noqa: FBT003 - the library's own signature
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, CHILD, str(writing), str(stop_seconds), *manners),
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(writing,),
        start_new_session=True,
    )
    os.close(writing)
    try:
        yield Family(process, reading)
    finally:
        with suppress_gone():
            process.kill()
        await process.communicate()
        os.close(reading)


@contextmanager
def suppress_gone() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def children_of(pid: int) -> list[int]:
    answer = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in answer.stdout.split()]


async def test_children_are_gone_within_two_seconds_of_their_supervisors_sudden_death() -> None:
    async with family(["obeys", "ignores", "obeys"]) as one:
        await one.ready()
        one.send(signal.SIGKILL)
        seconds = await one.seconds_until_all_are_gone()

    assert seconds < 2.0


async def test_children_that_obey_are_gone_at_once_when_their_supervisor_dies() -> None:
    async with family(["obeys", "obeys"]) as one:
        await one.ready()
        one.send(signal.SIGKILL)
        seconds = await one.seconds_until_all_are_gone()

    assert seconds < 1.0


async def test_sigterm_ends_all_and_answers_0() -> None:
    async with family(["obeys", "obeys"]) as one:
        ready = await one.ready()
        one.send(signal.SIGTERM)
        await one.seconds_until_all_are_gone()
        code = await one.process.wait()

    assert ready == ["child 0", "child 1"]
    assert code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_ctrl_c_and_a_closed_terminal_end_all_and_answer_0(number: int) -> None:
    async with family(["obeys"]) as one:
        await one.ready()
        one.send(number)
        code = await asyncio.wait_for(one.process.wait(), 10)

    assert code == 0


async def test_ctrl_c_in_the_terminal_reaches_the_supervisor_alone() -> None:
    async with family(["obeys"]) as one:
        await one.ready()
        supervisor = one.process.pid
        (child,) = children_of(supervisor)
        groups = (os.getpgid(supervisor), os.getpgid(child))

    assert groups == (supervisor, child)


async def test_a_child_that_does_not_drain_in_time_is_killed_and_the_answer_is_0() -> None:
    async with family(["ignores", "obeys"], stop_seconds=2.0) as one:
        await one.ready()
        one.send(signal.SIGTERM)
        await one.seconds_until_all_are_gone()
        code = await one.process.wait()
        line = await one.said()

    assert code == 0
    assert line == "killing what did not end in time: child 0\n"


async def test_a_second_ctrl_c_does_not_wait() -> None:
    async with family(["ignores", "obeys"]) as one:
        await one.ready()
        one.send(signal.SIGINT)
        # Two at once would be one.
        await until(lambda: len(children_of(one.process.pid)) == 1)
        one.send(signal.SIGINT)
        code = await asyncio.wait_for(one.process.wait(), 10)

    assert code == 1


async def test_a_killed_child_comes_back_under_another_pid() -> None:
    async with family(["obeys"]) as one:
        await one.ready()
        (child,) = children_of(one.process.pid)
        os.kill(child, signal.SIGKILL)
        told = [await one.said(), await one.said()]
        (successor,) = children_of(one.process.pid)

    assert told[0].startswith("child 0 was ended by SIGKILL; starting it again in 0.")
    assert told[1] == "child 0 is ready again\n"
    assert successor != child
