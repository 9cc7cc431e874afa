"""The ports of those who look on: what became of messages, how far groups are, which processes there are.

They only tell; no guarantee rests on them. What `domain.ports` says of every adapter holds for these too.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from domain.diagnosis import Seen
from domain.lag import PutOff, Standing
from domain.ledger import Places, Written
from domain.log import Record, Shard
from domain.presence import ProcessReport
from domain.status import MessageStatus, StatusEvent


class StatusView(AbstractAsyncContextManager[Any], Protocol):
    """What became of messages. It only reads, and is no part of any guarantee."""

    async def find(self, request_id: str, topics: AbstractSet[str]) -> MessageStatus | None:
        """The newest message of this id in these topics; None: not known, or not yet. Bounded in time.

        It is at most two seconds behind. Raises `LogUnavailable` where it cannot be as near as that.
        """


class StatusFeed(AbstractAsyncContextManager[Any], Protocol):
    """All that statuses are made of, for a view that is kept apart from the log."""

    def rest(self) -> AsyncGenerator[Sequence[StatusEvent], None]:
        """What the log has by now and was not given before, in slices.

        Raises `LogUnavailable`: the next call goes on there; a slice may come again. Raises `HeraldError`
        where the log is another one than before.
        """


class StatusStore(AbstractAsyncContextManager[Any], Protocol):
    """A view that is kept apart from the log. Entering begins it anew."""

    async def add(self, events: Sequence[StatusEvent]) -> None:
        """Twice is harmless."""

    async def is_as_of(self, moment: float) -> None:
        """All that the log had at this moment, in epoch seconds, is in it."""

    async def forget(self, before: float, most: int) -> None:
        """Leaves out what was accepted before that moment, and the oldest beyond so many messages."""


class GroupLags(AbstractAsyncContextManager[Any], Protocol):
    """How far groups are behind, whether or not any of their processes runs. It only reads."""

    async def standings(self, group: str, shards: Sequence[Shard]) -> Sequence[Standing]:
        """Where the group stands in each shard, in the order given. Raises `LogUnavailable`."""

    async def put_off(self, group: str, since: Mapping[Shard, int]) -> Mapping[Shard, PutOff]:
        """What the group's deferrals in each shard come to, from the position given for it on.

        Raises `LogUnavailable`.
        """


class GroupBacklog(AbstractAsyncContextManager[Any], Protocol):
    """What a group noted, and what the log has, for whoever counts what is unfinished. It only reads."""

    def notes(self, group: str, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        """As `DeliveryLedger.recall`, whether or not any of the group's processes runs."""

    def records(self, shard: Shard, first: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """What the log still has from `first` up to before `end`, in slices. Raises `LogUnavailable`."""


class Presence(AbstractAsyncContextManager[Any], Protocol):
    """Which consumer processes there are, on whatever machine. No part of any guarantee."""

    async def tell(self, report: ProcessReport) -> None:
        """On return others see it, in place of the process's earlier ones. Bounded in time.

        Raises `LogUnavailable`: the next report will do. A restart of the log may lose it.
        """

    async def leave(self, process: str) -> None:
        """The process ends in order: it is not seen any more. Twice is harmless. Raises `LogUnavailable`."""

    async def seen(self) -> Sequence[ProcessReport]:
        """The newest report of each process that told one within `PresenceTimes.gone`, by group and start.

        Raises `LogUnavailable`. Bounded in time. A report of a version not known here is left out.
        """


class Probe(Protocol):
    """Looks whether something outside is there and as it should be. It changes nothing anywhere."""

    async def look(self) -> Seen:
        """What is found, for `herald doctor`. Bounded in time; never raises for what the other side does."""
