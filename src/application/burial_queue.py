"""Buries what cannot be sent, beside what is being sent."""

import asyncio
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from application.burial import Burial
from application.crew import Crew
from application.intake import Unsendable
from application.shards import ShardState
from domain.log import Shard


@dataclass(slots=True, eq=False)
class _Queue:
    waiting: deque[Unsendable] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class BurialQueue:
    """One after the other in a shard; a letter that cannot be kept holds its own shard and no other.

    `buried` is called with each whose letter is kept. What belongs to a shard that goes is forgotten.
    """

    def __init__(self, burial: Burial, buried: Callable[[Unsendable], None]) -> None:
        self._burial = burial
        self._buried = buried
        self._queues: dict[ShardState, _Queue] = {}
        self._left = asyncio.Event()
        self._crew: Crew | None = None

    def start(self, crew: Crew) -> None:
        self._crew = crew

    def put(self, unsendable: Unsendable) -> None:
        state = unsendable.shard
        queue = self._queues.get(state)
        if queue is None:
            assert self._crew is not None  # noqa: S101 - `start` comes first
            queue = self._queues[state] = _Queue()
            queue.task = self._crew.hire(self._work(self._crew, state, queue))
        queue.waiting.append(unsendable)

    async def quiet(self, shards: AbstractSet[Shard]) -> None:
        """Returns when nothing of these shards is being buried."""
        while any(state.shard in shards for state in self._queues):
            self._left.clear()
            await self._left.wait()

    async def cut_off(self, shards: AbstractSet[Shard]) -> None:
        """Ends the burials of these shards. A letter may be kept all the same."""
        for state in [state for state in self._queues if state.shard in shards]:
            queue = self._queues.pop(state)
            if queue.task is not None and self._crew is not None:
                self._crew.dismiss(queue.task)
                await asyncio.wait({queue.task})

    async def _work(self, crew: Crew, state: ShardState, queue: _Queue) -> None:
        try:
            while queue.waiting and not state.yielding and crew.employs_me():
                unsendable = queue.waiting.popleft()
                await self._burial.bury(unsendable.record, unsendable.dead, attempts=0)
                self._buried(unsendable)
        finally:
            self._queues.pop(state, None)
            self._left.set()
