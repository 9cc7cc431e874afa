"""The supervisor over tiny children, each a real process."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from domain.retry import RetryPolicy
from entrypoints.supervised_child import ChildSpec
from entrypoints.supervisor import Started, Supervisor, SupervisorTimes

LINK = "import os, signal, sys, threading\nlink = int(sys.argv[-1])\n"
READY = 'os.write(link, b\'{"ready": {"pid": "%d"}}\\n\' % os.getpid())\n'
WAIT = "os.read(link, 1)\n"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
QUICK = RetryPolicy(first_seconds=0.001, max_seconds=0.002)


class Screen:
    """Keeps each line, and lets a test wait for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def show(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()

    async def seen(self, part: str, times: int = 1) -> None:
        while sum(part in line for line in self.lines) < times:
            self._more.clear()
            await self._more.wait()


class Running:
    """A supervisor in a task, with what it told at its start."""

    def __init__(
        self, *children: ChildSpec, start: float = 20.0, hold: float = 20.0, stop: float = 20.0
    ) -> None:
        self.screen = Screen()
        self.started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        times = SupervisorTimes(start=start, hold=hold, stop=stop, pauses=QUICK)
        self.supervisor = Supervisor(children, self.screen.show, times)
        self.task = asyncio.create_task(self.supervisor.run(self.started.set_result))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, fault: object, *_: object) -> None:
        self.supervisor.stop()
        if fault is not None:
            self.supervisor.stop()
        await self.task

    async def pid_of(self, name: str) -> int:
        return int((await self.started).ready[name]["pid"])

    async def ended(self) -> int:
        self.supervisor.stop()
        return await self.task


def child(name: str, code: str) -> ChildSpec:
    # -S and -E: a child that does nothing need not look for installed packages.
    return ChildSpec(name=name, command=(sys.executable, "-I", "-S", "-c", LINK + code))


def runs_once_more(tmp_path: Path, first: str) -> str:
    """Code that does `first` in its first run, and is ready in the second."""
    marker = str(tmp_path / "ran")
    return (
        f"if not os.path.exists({marker!r}):\n    open({marker!r}, 'w').close()\n    {first}\n" + READY + WAIT
    )


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_all_children_are_started_and_told_of_once_they_are_ready() -> None:
    async with Running(child("api", READY + WAIT), child("inbox", READY + WAIT)) as running:
        started = await running.started

    assert set(started.ready) == {"api", "inbox"}
    assert started.late == {}


async def test_a_stop_ends_every_child_and_answers_0() -> None:
    async with Running(child("api", READY + WAIT), child("inbox", READY + WAIT)) as running:
        pids = [await running.pid_of("api"), await running.pid_of("inbox")]
        code = await running.ended()

    assert code == 0
    assert [is_gone(pid) for pid in pids] == [True, True]
    assert running.screen.lines == []


def noting(path: Path, name: str, after: float) -> str:
    """Code that writes the child's name when it is asked to end, and ends."""
    note = f"(time.sleep({after}), open({str(path)!r}, 'a').write('{name} '), os._exit(0))"
    return f"import time\nsignal.signal(signal.SIGTERM, lambda *_: {note})\n"


async def test_what_others_need_until_the_end_is_stopped_after_them(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    inbox = child("inbox", noting(ends, "inbox", after=0) + READY + WAIT)
    api = child("api", noting(ends, "api", after=0.1) + READY + WAIT)

    async with Running(replace(inbox, stops_last=True), api) as running:
        await running.started
        code = await running.ended()

    assert (code, ends.read_text()) == (0, "api inbox ")


async def test_a_killed_child_is_started_again_and_the_others_stay() -> None:
    async with Running(child("api", READY + WAIT), child("inbox", READY + WAIT)) as running:
        other = await running.pid_of("inbox")
        os.kill(await running.pid_of("api"), signal.SIGKILL)
        await running.screen.seen("api is ready again")
        other_is_gone = is_gone(other)

    assert "api was ended by SIGKILL; starting it again in 0.0 s" in running.screen.lines
    assert not other_is_gone


async def test_a_child_that_ends_again_and_again_is_one_line_each_time_with_its_last_words(
    tmp_path: Path,
) -> None:
    marker = str(tmp_path / "ran")
    code = (
        f"if not os.path.exists({marker!r}):\n    open({marker!r}, 'w').close()\n    {READY}    {WAIT}"
        "sys.stderr.write('first\\nError: no port for me\\n'); sys.exit(1)\n"
    )
    async with Running(child("inbox", READY + WAIT), child("api", code)) as running:
        os.kill(await running.pid_of("api"), signal.SIGKILL)
        await running.screen.seen("api ended with exit code 1: no port for me; starting it again", times=3)
        inbox_ended = [line for line in running.screen.lines if line.startswith("inbox ended")]

    assert not [line for line in running.screen.lines if "first" in line]
    assert inbox_ended == []


async def test_a_child_that_ends_well_by_itself_is_started_again_too(tmp_path: Path) -> None:
    code = runs_once_more(tmp_path, "sys.exit(0)")
    async with Running(child("api", code)) as running:
        started = await running.started

    assert "api" in started.ready
    assert running.screen.lines[0].startswith("api ended with exit code 0; starting it again")


async def test_a_child_that_refuses_to_start_ends_all_with_its_last_line_alone() -> None:
    refuses = "sys.stderr.write('Error: port 1 is in use\\n'); sys.exit(1)\n"
    async with Running(child("api", refuses), child("inbox", WAIT)) as running:
        code = await running.task

    assert code == 1
    assert running.screen.lines == ["Error: api: port 1 is in use"]
    assert not running.started.done()


async def test_a_child_that_refuses_without_a_word_is_named_with_its_exit_code() -> None:
    async with Running(child("api", "sys.exit(3)")) as running:
        code = await running.task

    assert code == 1
    assert running.screen.lines == ["Error: api: ended with exit code 3"]


async def test_a_child_killed_while_all_start_is_no_refusal(tmp_path: Path) -> None:
    code = runs_once_more(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    async with Running(child("api", code)) as running:
        started = await running.started

    assert "api" in started.ready


async def test_the_rest_goes_on_without_children_that_are_late() -> None:
    async with Running(child("email", WAIT), start=0.0) as running:
        started = await running.started

    assert started.late == {"email": ""}
    assert started.ready == {}


async def test_what_a_late_child_waits_for_is_known() -> None:
    waits = 'os.write(link, b\'{"waiting": "no broker answers"}\\n\')\nos.write(2, b"told\\n")\n' + WAIT
    async with Running(child("email", waits), hold=0.0) as running:
        await running.screen.seen("told")
        late = running.supervisor.report().late

    assert late == {"email": "no broker answers"}


async def test_a_late_child_is_told_of_when_it_is_ready(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with Running(child("email", f"open({str(gate)!r}).read()\n" + READY + WAIT), start=0.0) as running:
        await running.started
        await asyncio.to_thread(gate.write_text, "go")
        await running.screen.seen("email is ready")


async def test_what_a_ready_child_says_is_passed_on_line_by_line_with_its_name() -> None:
    says = READY + "os.write(2, b'one\\ntw'); os.write(2, b'o\\n\\xff\\n')\n" + WAIT
    async with Running(child("api", says)) as running:
        await running.screen.seen("\ufffd")

    assert running.screen.lines == ["api: one", "api: two", "api: \ufffd"]


async def test_what_it_said_before_it_was_ready_is_shown_then() -> None:
    async with Running(child("api", "os.write(2, b'early\\n')\n" + READY + WAIT)) as running:
        await running.started
        await running.screen.seen("api: early")


async def test_what_a_late_child_said_is_shown_when_the_time_is_over() -> None:
    async with Running(child("api", "os.write(2, b'slow today\\n')\n" + WAIT), hold=0.3) as running:
        await running.screen.seen("api: slow today")


async def test_a_child_that_does_not_stop_in_time_is_killed_and_the_answer_is_still_0() -> None:
    async with Running(child("api", STUBBORN + READY + WAIT), stop=0.1) as running:
        pid = await running.pid_of("api")
        code = await running.ended()

    assert code == 0
    assert is_gone(pid)
    assert running.screen.lines == ["killing what did not end in time: api"]


async def test_a_second_stop_kills_at_once_and_answers_1() -> None:
    async with Running(child("api", STUBBORN + READY + WAIT)) as running:
        pid = await running.pid_of("api")
        running.supervisor.stop()
        code = await running.ended()

    assert code == 1
    assert is_gone(pid)


async def test_a_stop_while_the_children_start_ends_them() -> None:
    async with Running(child("api", WAIT)) as running:
        await asyncio.sleep(0)
        code = await running.ended()

    assert code == 0
    assert not running.started.done()


async def test_two_stops_while_a_child_is_being_made_kill_it() -> None:
    async with Running(child("api", STUBBORN + READY + WAIT)) as running:
        await asyncio.sleep(0)
        running.supervisor.stop()
        code = await running.ended()

    assert code == 1


async def test_a_program_that_cannot_be_started_is_told_and_tried_again() -> None:
    missing = ChildSpec(name="api", command=("/nowhere/python",))
    async with Running(missing) as running:
        await running.screen.seen("api did not start: could not be started (No such file or directory)", 2)


async def test_a_child_reads_what_it_is_given() -> None:
    echo = LINK + "os.write(2, sys.stdin.buffer.read())\n" + READY + WAIT
    spec = ChildSpec(name="api", command=(sys.executable, "-I", "-S", "-c", echo), stdin=b"settings\n")
    async with Running(spec) as running:
        await running.screen.seen("api: settings")


async def test_children_inherit_only_their_own_end_of_the_link() -> None:
    counts = (
        "import stat\n"
        "def is_open(fd):\n"
        "    try: return bool(os.fstat(fd))\n"
        "    except OSError: return False\n"
        "os.write(2, b'open: %d\\n' % sum(is_open(fd) for fd in range(3, 256)))\n"
    )
    children = [child(name, counts + READY + WAIT) for name in ("api", "email", "sms")]
    async with Running(*children) as running:
        await running.screen.seen("open:", times=3)

    assert sorted(running.screen.lines) == ["api: open: 1", "email: open: 1", "sms: open: 1"]


async def test_nonsense_on_the_link_is_ignored() -> None:
    nonsense = "os.write(link, b'what\\n[]\\n7\\n{\"ready\": 1}\\n')\n" + READY + WAIT
    async with Running(child("api", nonsense)) as running:
        pid = await running.pid_of("api")

    assert pid > 0
    assert running.screen.lines == []


async def test_a_line_without_end_is_cut_and_memory_stays_bounded() -> None:
    endless = READY + "os.write(2, b'x' * 10000 + b'\\n')\n" + WAIT
    async with Running(child("api", endless)) as running:
        await running.screen.seen("x", times=3)

    assert max(len(line) for line in running.screen.lines) <= len("api: ") + 4096


async def test_a_fault_of_the_supervisor_itself_ends_all_and_is_raised() -> None:
    def show(_: str) -> None:
        raise ValueError("a bug")

    supervisor = Supervisor(
        [child("api", "sys.exit(0)"), child("inbox", READY + WAIT)], show, SupervisorTimes()
    )
    started: list[Started] = []
    with pytest.raises(ValueError, match="a bug"):
        await supervisor.run(started.append)
