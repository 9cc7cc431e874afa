"""A thread that owns one SQLite connection, so that no disk ever holds the event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class SqliteThread:
    """Runs jobs one after the other.

    A daemon: a disk or a lock that hangs must not keep the process from ending.
    """

    def __init__(self, name: str, end_seconds: float = 5.0) -> None:
        self._name = name
        self._end_seconds = end_seconds
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def start(self) -> None:
        self._thread = Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    async def call(self, job: Callable[[], T]) -> T:
        """The job's result or its error. Cancelled before its turn, the job is not run."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._jobs.put(lambda: _answer(loop, answer, job))
        return await answer

    def post(self, job: Callable[[], None]) -> None:
        """Nobody waits for this job; it must not raise."""
        self._jobs.put(job)

    async def end(self, last: Callable[[], None]) -> None:
        """Runs `last` after all other jobs and ends the thread; gives up waiting after some seconds."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        self._jobs.put(lambda: _answer(loop, ended, last))
        self._jobs.put(None)
        await asyncio.wait({ended}, timeout=self._end_seconds)
        if ended.done():
            ended.result()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _answer(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T], job: Callable[[], T]) -> None:
    if answer.cancelled():
        return
    try:
        result = job()
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
        tell(loop, _fail, answer, error)
    else:
        tell(loop, _succeed, answer, result)


def tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: object) -> None:
    """Calls `what` in the loop's thread; nobody is left to tell once the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *arguments)


def _succeed(answer: asyncio.Future[T], result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[T], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
