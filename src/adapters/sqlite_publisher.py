"""`MessagePublisher` on SQLite: one thread writes, and one commit confirms all that came meanwhile."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from adapters.deadlines import Deadlines
from adapters.sqlite_appender import Answer, Appender
from adapters.sqlite_thread import SqliteThread, tell
from domain.errors import HeraldError
from domain.log import NewRecord, Unconfirmed

logger = logging.getLogger("herald.log")

# Of one commit: enough to make the disk's answer cheap, few enough to answer soon.
_COMMIT_RECORDS = 2_000
_CHECK_SECONDS = 2.0
_STUCK = "the log's file is not written any more: a process that holds its lock, or the disk, hangs"


@dataclass(slots=True, eq=False)
class _Call:
    records: Sequence[NewRecord]
    size: int
    answered: asyncio.Future[Sequence[Answer]]


class SqlitePublisher:
    """Appends to the log file. Any number of processes may do so at once.

    `synchronous` is SQLite's pragma: only FULL keeps what a `Receipt` says through a power cut.
    Beyond `waiting_records` and `waiting_bytes` (of values) a caller is told at once that there is no
    room, instead of after its time limit.
    """

    def __init__(
        self,
        path: Path,
        publish_timeout_seconds: float,
        *,
        synchronous: str = "FULL",
        waiting_records: int = 100_000,
        waiting_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._seconds = publish_timeout_seconds
        self._most_records = waiting_records
        self._most_bytes = waiting_bytes
        self._appender = Appender(path, synchronous)
        self._thread = SqliteThread("log-writer")
        self._is_thread_called = False
        self._deadlines = Deadlines(publish_timeout_seconds, self._late)
        self._calls: deque[_Call] = deque()
        self._waiting_records = 0
        self._waiting_bytes = 0

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Answer]:
        if not records:
            return []
        size = sum(len(record.value) for record in records)
        if not self._has_room(len(records), size):
            return [Unconfirmed("too much waits to be written")] * len(records)
        call = self._hand_over(records, size)
        self._deadlines.add(call)
        try:
            return await call.answered
        finally:
            self._deadlines.drop(call)

    def _late(self, call: _Call) -> None:
        _give_up(call, f"the log did not confirm it within {self._seconds:g} s")

    def _has_room(self, count: int, size: int) -> bool:
        """What is alone always has room, however large it is."""
        if not self._waiting_records:
            return True
        fits = self._waiting_bytes + size <= self._most_bytes
        return fits and self._waiting_records + count <= self._most_records

    def _hand_over(self, records: Sequence[NewRecord], size: int) -> _Call:
        call = _Call(records, size, asyncio.get_running_loop().create_future())
        self._waiting_records += len(records)
        self._waiting_bytes += size
        self._calls.append(call)
        self._call_thread()
        return call

    def _call_thread(self) -> None:
        """A job writes all that wait when its turn comes: another one is needed only from then on."""
        if not self._is_thread_called:
            self._is_thread_called = True
            self._thread.post(self._write_waiting)

    def _write_waiting(self) -> None:
        """In the writer's thread."""
        # Before anything is taken: whoever comes later calls again, whoever came earlier is taken now.
        self._is_thread_called = False
        taken = list(self._take())
        if self._calls:
            self._call_thread()  # and not in a loop: other jobs have their turn too
        if not taken:
            return
        # Who has given up gets nothing written: it was told that it is not confirmed.
        calls = [call for call in taken if not call.answered.done()]
        answers = self._written(calls)
        tell(taken[0].answered.get_loop(), self._settle, taken, calls, answers)

    def _take(self) -> Iterable[_Call]:
        count = 0
        while self._calls and count < _COMMIT_RECORDS:
            call = self._calls.popleft()
            count += len(call.records)
            yield call

    def _written(self, calls: Sequence[_Call]) -> Sequence[Sequence[Answer]]:
        if not calls:
            return []
        try:
            return self._appender.append([call.records for call in calls], time.time())
        except HeraldError as error:
            reason = str(error)
        except Exception:
            # The thread has to live on: it answers everybody.
            logger.exception("A commit failed", extra={"action": "log_commit_failed"})
            reason = "the log could not write it"
        return [[Unconfirmed(reason)] * len(call.records) for call in calls]

    def _settle(
        self, taken: Sequence[_Call], calls: Sequence[_Call], answers: Sequence[Sequence[Answer]]
    ) -> None:
        self._waiting_records -= sum(len(call.records) for call in taken)
        self._waiting_bytes -= sum(call.size for call in taken)
        for call, answer in zip(calls, answers, strict=True):
            if not call.answered.done():
                call.answered.set_result(answer)

    async def unready(self) -> str | None:
        try:
            async with asyncio.timeout(min(_CHECK_SECONDS, self._seconds)):
                await self._thread.call(self._appender.check)
        except TimeoutError:
            return _STUCK
        except HeraldError as error:
            return str(error)
        return None

    async def __aenter__(self) -> Self:
        """Raises `StorageBroken` and `UnknownVersion` where the file cannot be used."""
        self._thread.start()
        try:
            async with asyncio.timeout(self._seconds):
                await self._thread.call(self._appender.open)
        except TimeoutError:
            return self
        except BaseException:
            await self._thread.end(self._appender.close)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.end(self._appender.close)
        # Where more waited than one commit takes, the rest asked for a turn after the thread's last job.
        for call in self._deadlines.close():
            _give_up(call, "the log is being closed")


def _give_up(call: _Call, reason: str) -> None:
    if not call.answered.done():
        call.answered.set_result([Unconfirmed(reason)] * len(call.records))
