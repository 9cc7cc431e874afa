"""`herald dead-letters replay` on a terminal: it says how many, and asks."""

import asyncio
import os
import pty
import subprocess
from pathlib import Path

import pytest

from domain.dead_letter import LetterFilter
from tests.contracts.dead_letter_archive import letter
from tests.site import HERALD
from tests.sqlite_rig import SqliteRig

COMMAND = (*HERALD, "dead-letters", "replay", "--all")


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    rig = await SqliteRig(tmp_path).make_topics()
    async with rig.dead_letters("email") as dead_letters:
        for offset in range(3):
            await dead_letters.keep(letter(rig, offset, failed_at=1_700_000_000.0 + offset))
    return rig


def at_a_terminal(folder: Path, answer: str) -> tuple[int, str]:
    """Exit code and what the terminal showed when a person typed the answer."""
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HERALD_")}
    process = subprocess.Popen(
        COMMAND, cwd=folder, env={**environ, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while b"again?" not in shown:
            shown += os.read(ours, 1024)
        os.write(ours, f"{answer}\n".encode())
        shown += _rest(ours)
        return process.wait(30), shown.decode()
    finally:
        os.close(ours)


def _rest(terminal: int) -> bytes:
    shown = b""
    while True:
        try:
            some = os.read(terminal, 1024)
        except OSError:  # so a terminal says that nobody writes to it any more
            return shown
        if not some:
            return shown
        shown += some


async def replayed(rig: SqliteRig) -> int:
    async with rig.archive() as archive:
        return len((await archive.find(LetterFilter(replayed=True))).letters)


async def test_a_no_sends_nothing(rig: SqliteRig, tmp_path: Path) -> None:
    code, shown = await asyncio.to_thread(at_a_terminal, tmp_path, "n")

    assert code == 1
    assert "Send 3 dead letters again? [y/N]" in shown
    assert await replayed(rig) == 0


async def test_a_yes_sends_them_with_a_bar_that_is_gone_in_the_end(rig: SqliteRig, tmp_path: Path) -> None:
    code, shown = await asyncio.to_thread(at_a_terminal, tmp_path, "y")

    assert code == 0
    assert "Sending again" in shown
    assert shown.rstrip().endswith("3 dead letters sent again")
    assert await replayed(rig) == 3


async def test_off_a_terminal_no_bar_is_drawn(rig: SqliteRig, tmp_path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "--yes"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "3 dead letters sent again\n", "")
    assert await replayed(rig) == 3
