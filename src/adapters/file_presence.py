"""`Presence` beside the embedded log: a small file for each process, in a folder of its own.

Files and not a database, because a process that stands by or is frozen must not hold up the others: each
writes its own file alone, whole or not at all.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Self, TypeVar
from urllib.parse import quote

from adapters.one_off_thread import in_thread
from adapters.presence_json import decode_report, encode_report, in_order
from domain.errors import LogUnavailable
from domain.ports import Clock
from domain.presence import USUAL_TIMES, PresenceTimes, ProcessReport

FORGOTTEN_SECONDS = 3600.0
_ANSWER_SECONDS = 3.0
_LONGEST_NAME, _SUFFIX = 200, ".json"
_Answer = TypeVar("_Answer")


def presence_folder(log: Path) -> Path:
    """The folder beside the log of this path."""
    return log.with_name(f"{log.stem}.processes")


class FilePresence:
    """`log`: the path of the embedded log. The folder is made with the first report."""

    def __init__(self, log: Path, clock: Clock, times: PresenceTimes = USUAL_TIMES) -> None:
        self._folder = presence_folder(log)
        self._clock = clock
        self._times = times
        self._one_at_a_time = Lock()
        self._left: set[str] = set()
        self._has_tidied = False

    async def tell(self, report: ProcessReport) -> None:
        await _in_thread(lambda: self._write_unless_left(report))

    async def leave(self, process: str) -> None:
        await _in_thread(lambda: self._remove(process))

    async def seen(self) -> Sequence[ProcessReport]:
        reports = await _in_thread(self._read_all)
        now = self._clock.now()
        return in_order([report for report in reports if self._times.is_there(report.at, now)])

    def _write_unless_left(self, report: ProcessReport) -> None:
        """A write that nobody waits for any more may come after its process has left."""
        with self._one_at_a_time:
            if report.process not in self._left:
                self._write(report)

    def _remove(self, process: str) -> None:
        with self._one_at_a_time:
            self._left.add(process)
            self._path(process).unlink(missing_ok=True)

    def _write(self, report: ProcessReport) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(report.process)
        new = path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(encode_report(report))
        # Nobody reads half of it; after a crash of the machine it may be lost, and the next one comes soon.
        new.replace(path)
        if not self._has_tidied:
            self._has_tidied = True
            self._forget_old()

    def _read_all(self) -> list[ProcessReport]:
        found = []
        with suppress(FileNotFoundError):  # nobody told anything yet
            for path in self._folder.iterdir():
                if path.suffix == _SUFFIX:
                    with suppress(FileNotFoundError):  # its process has left meanwhile
                        found.append(decode_report(path.read_bytes()))
        return [report for report in found if report is not None]

    def _forget_old(self) -> None:
        """What processes left behind that were killed."""
        oldest = self._clock.now() - FORGOTTEN_SECONDS
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _path(self, process: str) -> Path:
        return self._folder / f"{quote(process, safe='')[:_LONGEST_NAME]}{_SUFFIX}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


async def _in_thread(act: Callable[[], _Answer]) -> _Answer:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await in_thread("presence", act)
    except TimeoutError as error:
        raise LogUnavailable("the disk does not answer") from error
    except OSError as error:
        raise LogUnavailable(f"{error.filename} cannot be used: {error.strerror}") from error
