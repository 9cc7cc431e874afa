"""What the group has given to this process, and what the reader has been told of it. No I/O.

Kafka's rebalances here are eager: each takes every shard away and then gives the new ones.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from domain.log import Assigned, Lost, Revoking, Shard

MembershipEvent = Assigned | Revoking | Lost


class Membership:
    """The shards of this process. `wake` is called whenever there is something to tell."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.shards: frozenset[Shard] = frozenset()
        self.is_joined = False
        self._wake = wake
        self._events: deque[MembershipEvent] = deque()
        # What the reader has not given back yet; None while nothing is asked back.
        self._asked_back: set[Shard] | None = None
        self._given_back: asyncio.Future[None] | None = None
        self._is_told = False

    @property
    def is_open(self) -> bool:
        """Whether shards may be read: not while they are being asked back."""
        return self._asked_back is None

    def assign(self, shards: frozenset[Shard]) -> None:
        """The group has given these, perhaps none."""
        self.shards = shards
        self.is_joined = True
        if shards:
            self._tell(Assigned(shards))

    def ask_back(self, seconds: float) -> asyncio.Future[None] | None:
        """Asks the reader for all shards; what is returned is done when it has answered.

        None when there is nothing to wait for: no shards, or none that the reader knows of.
        """
        self.is_joined = False
        if not self.shards or self._forget(Assigned):
            self.shards = frozenset()
            return None
        self._asked_back = set(self.shards)
        self._is_told = False
        self._given_back = asyncio.get_running_loop().create_future()
        self._tell(Revoking(self.shards, seconds))
        return self._given_back

    def release(self, shards: AbstractSet[Shard]) -> None:
        """The reader's answer. One that comes without a question is late, and ignored."""
        if self._asked_back is None or not self._is_told:
            return
        self._asked_back -= shards
        if not self._asked_back:
            self._resolve()

    def take_back(self) -> frozenset[Shard]:
        """The time is over: nothing is ours. What was not released is told lost, and returned."""
        unreleased = frozenset(self._asked_back or ())
        self._forget(Revoking)
        self._end(unreleased)
        return unreleased

    def lose(self) -> frozenset[Shard]:
        """The group has thrown this process out; the shards may be another's already."""
        gone = self.shards if self._asked_back is None else frozenset(self._asked_back)
        self.is_joined = False
        if self._forget(Assigned):
            gone = frozenset()
        self._forget(Revoking)
        self._end(gone)
        return gone

    def next_event(self) -> MembershipEvent | None:
        """What the reader has to be told next."""
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, Revoking):
            self._is_told = True
        return event

    def _end(self, lost: frozenset[Shard]) -> None:
        self.shards = frozenset()
        self._asked_back = None
        self._resolve()
        if lost:
            self._tell(Lost(lost))

    def _resolve(self) -> None:
        if self._given_back is not None and not self._given_back.done():
            self._given_back.set_result(None)

    def _tell(self, event: MembershipEvent) -> None:
        self._events.append(event)
        self._wake()

    def _forget(self, kind: type[MembershipEvent]) -> bool:
        """Takes back what the reader has not been told yet; whether there was such."""
        kept = [event for event in self._events if not isinstance(event, kind)]
        forgotten = len(kept) < len(self._events)
        self._events = deque(kept)
        return forgotten
