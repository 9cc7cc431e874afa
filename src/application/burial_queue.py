"""Buries what cannot be sent, one after the other, beside what is being sent."""

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from application.burial import Burial
from application.crew import Crew
from application.intake import Unsendable
from domain.log import Shard


class BurialQueue:
    """`buried` is called with each whose letter is kept. What belongs to a shard that goes is forgotten."""

    def __init__(self, burial: Burial, buried: Callable[[Unsendable], None]) -> None:
        self._burial = burial
        self._buried = buried
        self._waiting: asyncio.Queue[Unsendable] = asyncio.Queue()
        self._current: Unsendable | None = None
        self._left = asyncio.Event()
        self._crew: Crew | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, crew: Crew) -> None:
        self._crew = crew
        self._task = crew.hire(self._work(crew))

    def put(self, unsendable: Unsendable) -> None:
        self._waiting.put_nowait(unsendable)

    async def quiet(self, shards: AbstractSet[Shard]) -> None:
        """Returns when nothing of these shards is being buried."""
        while self._is_of(shards):
            self._left.clear()
            await self._left.wait()

    async def cut_off(self, shards: AbstractSet[Shard]) -> None:
        """Ends the burial of what is of these shards. Its letter may be kept all the same."""
        if self._is_of(shards) and self._crew is not None and self._task is not None:
            self._crew.dismiss(self._task)
            await asyncio.wait({self._task})
            self._task = self._crew.hire(self._work(self._crew))

    def _is_of(self, shards: AbstractSet[Shard]) -> bool:
        return self._current is not None and self._current.shard.shard in shards

    async def _work(self, crew: Crew) -> None:
        while crew.employs_me():
            unsendable = await self._waiting.get()
            if not unsendable.shard.yielding:
                await self._bury(unsendable)

    async def _bury(self, unsendable: Unsendable) -> None:
        self._current = unsendable
        try:
            await self._burial.bury(unsendable.record, unsendable.dead, attempts=0)
            self._buried(unsendable)
        finally:
            self._current = None
            self._left.set()
