"""One consumer process of a history: it can be killed at any moment, frozen, and cut off from the log."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, NoReturn

from adapters.memory import MemoryBroker, MemoryDeadLetters, MemoryLog
from adapters.memory_ledger import MemoryLedger
from adapters.memory_orders import MemoryDiscardOrders
from domain.dead_letter import DeadLetter
from domain.discard import Discard
from domain.errors import LogUnavailable
from domain.ledger import Extent, LedgerRecord, Note, Places, Written
from domain.log import Bounds, LogEvent, Position, Record, Shard
from domain.message import Message
from domain.outcome import Outcome
from tests.simulation.virtual_time import VirtualClock

if TYPE_CHECKING:
    from application.delivery_engine import DeliveryEngine
    from tests.simulation.witness import Witness


class EndedAtOnce(Exception):
    """What `os._exit` is in a real process."""


@dataclass
class Trouble:
    """What the log does to single calls: shares of them that are refused, lose their answer, or are slow."""

    random: Random
    refused: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    last: float = -1.0  # when anything went wrong
    refuses: frozenset[str] = frozenset()  # kinds of calls that are always refused

    @property
    def is_over(self) -> bool:
        return not (self.refused or self.lost or self.slow or self.refuses)

    def draws(self, share: float) -> bool:
        hit = share > 0 and self.random.random() < share
        if hit:
            self.last = asyncio.get_running_loop().time()
        return hit

    def end(self) -> None:
        self.refused = self.lost = self.slow = 0.0
        self.refuses = frozenset()


@dataclass(eq=False)
class Process:
    """What the outside knows of one process. Every call of its ports goes through `entering` and `leaving`.

    A dead one does nothing more; a frozen one does nothing until it wakes, and what it had asked for goes on
    without it.
    """

    name: str
    witness: "Witness"
    trouble: Trouble
    random: Random
    frozen_seconds: float
    is_dead: bool = False
    is_draining: bool = False
    stood_still: float = 0.0  # the longest time it was frozen for
    loses_at_commit: bool = False  # its session ends while its next commit is on its way
    fuse: int = -1  # how many more effects until it is killed in the middle of one; -1: none
    seen: dict[Shard, int] = field(default_factory=dict)  # the ledger's end when it last read it back
    orders: Sequence[Discard] = ()  # those that it has read
    bound_by: dict[Shard, Sequence[Discard]] = field(default_factory=dict)  # there when it began a shard
    failure: BaseException | None = None
    _froze: float | None = None
    _asleep: list[asyncio.Future[None]] = field(default_factory=list)
    engine: "DeliveryEngine | None" = None
    log: "ProcessLog | None" = None
    task: asyncio.Task[None] | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def passes(self) -> None:
        while self._froze is not None:
            woken = asyncio.get_running_loop().create_future()
            self._asleep.append(woken)
            await woken
        if self.is_dead:
            raise asyncio.CancelledError

    def freeze(self) -> None:
        self._froze = asyncio.get_running_loop().time()

    def thaw(self) -> None:
        """All that waited goes on, in no order: the system promises none."""
        if self._froze is None:
            return
        self.stood_still = max(self.stood_still, asyncio.get_running_loop().time() - self._froze)
        self._froze = None
        self.random.shuffle(self._asleep)
        for woken in self._asleep:
            if not woken.done():
                woken.set_result(None)
        self._asleep.clear()

    @property
    def is_awake(self) -> bool:
        return not self.is_dead and self._froze is None

    @property
    def must_be_silent(self) -> bool:
        """It stood still for longer than its group waits for it: nothing of it counts any more."""
        return self.stood_still > self.frozen_seconds

    def kill(self) -> None:
        if not self.is_dead:
            self.is_dead = True
            self.witness.killed(self)
            if self.task is not None:
                self.task.cancel()
            self.thaw()

    def burn(self) -> None:
        """One more effect is about to be, or has just been: the place of a crash."""
        if self.fuse > 0:
            self.fuse -= 1
            if self.fuse == 0:
                self.kill()
        if self.is_dead:
            raise asyncio.CancelledError

    async def entering(self, kind: str, broker: MemoryBroker) -> None:
        """On the way to the log. Nothing waits here: what is frozen never comes so far."""
        if self.is_dead:
            raise asyncio.CancelledError
        self.witness.asked(self, kind)
        if self.trouble.draws(self.trouble.slow):
            await asyncio.sleep(self.random.choice((0.1, 2.0, 7.0)))
            if self.is_dead:
                raise asyncio.CancelledError
        self.burn()
        if kind in self.trouble.refuses or broker.down or self.trouble.draws(self.trouble.refused):
            self.trouble.last = asyncio.get_running_loop().time()
            await self.passes()
            raise LogUnavailable("refused")

    async def leaving(self) -> None:
        """On the way back."""
        self.burn()
        if self.trouble.draws(self.trouble.slow):
            await asyncio.sleep(self.random.choice((0.1, 2.0, 7.0)))
        if self.trouble.draws(self.trouble.lost):
            await self.passes()
            raise LogUnavailable("the answer was lost")
        await self.passes()

    def end_at_once(self, reason: str) -> NoReturn:
        self.is_dead = True
        self.witness.killed(self)
        raise EndedAtOnce(reason)


class ProcessClock(VirtualClock):
    """A frozen process does not wake from its sleep."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await self._process.passes()


class ProcessLog(MemoryLog):
    """The log as one process reaches it."""

    def __init__(
        self, broker: MemoryBroker, group: str, topics: Sequence[str], process: Process, *, fences: bool
    ) -> None:
        super().__init__(broker, group, topics)
        self.process = process
        self._fences = fences
        self._came: LogEvent | None = None  # while it was frozen

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        if self._came is None:
            self._came = await super().next_event(wanted, limit, seconds)
        await self.process.passes()
        event, self._came = self._came, None
        return event

    def lose(self) -> None:
        self.process.witness.lost(self.process, self.held)
        super().lose()

    async def commit(self, positions: Mapping[Shard, Position]) -> None:
        await self.process.entering("commit", self._broker)
        if self.process.loses_at_commit:
            self.process.loses_at_commit = False
            self._broker.lose(self)
        before = dict(self._broker.positions)
        if self._fences:
            await super().commit(positions)
        else:
            self._broker.positions.update({(self.group, shard): positions[shard] for shard in positions})
        self.process.witness.committed(self.process, before)
        await self.process.leaving()

    async def release(self, shards: AbstractSet[Shard]) -> None:
        self.process.witness.released(self.process, shards & self.held)
        await super().release(shards)

    async def committed(self, shard: Shard) -> Position | None:
        self.process.bound_by[shard] = self._broker.orders.get((shard.topic, self.group), ())[:]
        found = await super().committed(shard)
        await self.process.passes()
        return found

    async def bounds(self, shards: AbstractSet[Shard]) -> Mapping[Shard, Bounds]:
        await self.process.entering("bounds", self._broker)
        found = await super().bounds(shards)
        await self.process.passes()
        return found

    async def peek(self, shard: Shard, offset: int) -> Record | None:
        await self.process.entering("peek", self._broker)
        return await super().peek(shard, offset)


class ProcessLedger(MemoryLedger):
    """The ledger as one process reaches it."""

    def __init__(self, broker: MemoryBroker, group: str, process: Process) -> None:
        super().__init__(broker, group)
        self.process = process

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        await self.process.entering("write", self._broker)
        # A crash may leave any first part of what was on its way.
        part = notes
        refused = "put" in self.process.trouble.refuses and not all(
            isinstance(n, LedgerRecord) for n in notes
        )
        if refused:
            part = [note for note in notes if isinstance(note, LedgerRecord)]
        elif self.process.fuse == 1 and len(notes) > 1:
            part = notes[: self.process.random.randrange(len(notes) + 1)]
        positions = await super().write(shard, part)
        written = [Written(position, note) for position, note in zip(positions, part, strict=True)]
        self.process.witness.noted(self.process, shard, written)
        await self.process.leaving()
        if refused:
            self.process.trouble.last = asyncio.get_running_loop().time()
            raise LogUnavailable("what is put off lies on a broker that is away")
        return positions

    async def extent(self, shard: Shard) -> Extent:
        await self.process.entering("extent", self._broker)
        extent = await super().extent(shard)
        self.process.seen[shard] = extent.ledger.end
        await self.process.passes()
        return extent

    async def recall(self, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        await self.process.entering("recall", self._broker)
        async for some in super().recall(shard, since):
            await self.process.leaving()
            yield some


class ProcessDeadLetters(MemoryDeadLetters):
    """The dead letters as one process keeps them."""

    def __init__(self, broker: MemoryBroker, process: Process) -> None:
        super().__init__(broker)
        self._process = process

    async def keep(self, letter: DeadLetter) -> None:
        await self._process.entering("keep", self._broker)
        await super().keep(letter)
        self._process.witness.buried(self._process, letter)
        await self._process.leaving()


class ProcessDiscardOrders(MemoryDiscardOrders):
    """The orders to discard as one process sees them."""

    def __init__(self, broker: MemoryBroker, process: Process) -> None:
        super().__init__(broker)
        self._process = process

    async def in_force(self, topic: str, group: str) -> Sequence[Discard]:
        if not self._process.witness.has_orders:
            return ()  # drawing nothing: histories without orders stay what they were
        await self._process.entering("orders", self._broker)
        found = await super().in_force(topic, group)
        await self._process.passes()
        self._process.orders = found
        return found


@dataclass
class ProcessChannel:
    """The provider as one process reaches it. Now and then it loses a cancel, as a library may."""

    process: Process
    loses_cancels: float
    group: str = "email"

    def is_for(self, message: Message) -> bool:
        return message.email is not None

    def fault(self, message: Message) -> str | None:
        return "email is wrong" if message.email == "wrong" else None

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        process = self.process
        process.burn()
        attempt = process.witness.tries(process, message, probe=probe)
        provider = process.witness.provider
        try:
            outcome = await provider.answer(attempt, message)
            await process.passes()
        except asyncio.CancelledError:
            return process.witness.cut_off(attempt, self.loses_cancels)
        attempt.answered = asyncio.get_running_loop().time()
        process.burn()
        return outcome
