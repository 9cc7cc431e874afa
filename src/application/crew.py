"""Tasks that live and die together: one that fails ends all, and what it raised is raised."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class Crew:
    """An `asyncio.TaskGroup` whose tasks work for ever: leaving it ends them."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: dict[asyncio.Task[None], None] = {}  # in order: a set's would differ from run to run
        self._is_leaving = False

    def hire(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._is_leaving:
            work.close()
            raise asyncio.CancelledError  # whoever hires is about to end too
        try:
            task = self._group.create_task(work)
        except RuntimeError:  # another one of the crew has failed, and all are about to end
            work.close()
            raise asyncio.CancelledError from None
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def dismiss(self, task: asyncio.Task[None]) -> None:
        """Ends one; it may take a moment."""
        self._forget(task)
        task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    def employs(self, task: asyncio.Task[None]) -> bool:
        """Whether the task was not dismissed; see `employs_me`."""
        return task in self._tasks

    def employs_me(self) -> bool:
        """Whether the running task was not dismissed. What works for ever has to ask.

        A library may lose a cancel that comes together with an answer, as `asyncio.wait_for` of Python
        3.11 does, and whoever waits for the end would wait for ever. (`Task.cancelling` is no answer: a
        library may also leave a cancel of its own in that count.)
        """
        return asyncio.current_task() in self._tasks

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_leaving = True
        for task in list(self._tasks):
            self.dismiss(task)
        try:
            await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
