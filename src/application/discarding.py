"""Obeys orders to discard: known before a shard's first message is sent, and looked for ever after."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from application.positions import line_of
from application.shards import Shards, ShardState
from domain.discard import Discard, cuts_of
from domain.errors import LogUnavailable, UnknownVersion
from domain.ports import Clock, DiscardOrders

logger = logging.getLogger("herald.engine")


@dataclass(slots=True, eq=False)
class _Looks:
    """At one topic's orders, numbered: several shards may ask for one at a time."""

    begun: int = 0
    done: int = 0  # the number of the last look that was answered
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Discarding:
    """One group's orders, in one process.

    `obey` is called with a shard about which there are new ones. `stop` is called with the shards of a topic
    about which there is one that cannot be read: it may have been meant to stop what is being sent.
    """

    def __init__(
        self,
        orders: DiscardOrders,
        group: str,
        clock: Clock,
        shards: Shards,
        obey: Callable[[ShardState], None],
        stop: Callable[[Sequence[ShardState], str], None],
    ) -> None:
        self._orders = orders
        self._group = group
        self._clock = clock
        self._shards = shards
        self._obey = obey
        self._stop = stop
        self._looks: defaultdict[str, _Looks] = defaultdict(_Looks)
        self._silent = False

    async def recall(self, state: ShardState) -> None:
        """Before the shard's first message is sent. Raises `LogUnavailable` and `UnknownVersion`."""
        await self._look(state.shard.topic)

    async def run(self, seconds: float) -> None:
        """Looks for new orders, for ever. Nothing waits for it: an outage of the log is waited out."""
        while True:
            await self._clock.sleep(seconds)
            for topic in sorted({state.shard.topic for state in self._at_work()}):
                await self._look_again(topic)
            for state in self._at_work():
                _tell_if_done(state)

    async def _look_again(self, topic: str) -> None:
        try:
            await self._look(topic)
        except LogUnavailable as error:
            self._note_silence(error)
        except UnknownVersion as error:
            self._stop([state for state in self._at_work() if state.shard.topic == topic], str(error))
        else:
            self._note_silence(None)

    async def _look(self, topic: str) -> None:
        """Learns what is in force now. Those who ask while another one looks share the next look."""
        looks = self._looks[topic]
        asked = looks.begun
        async with looks.turn:
            if looks.done <= asked:
                looks.begun = number = looks.begun + 1
                orders = await self._orders.in_force(topic, self._group)
                looks.done = number
                self._learn(topic, orders)

    def _learn(self, topic: str, orders: Sequence[Discard]) -> None:
        for state in [state for state in self._shards if state.shard.topic == topic]:
            # One that is being loaded takes them into account once it is read.
            if state.cuts.change(cuts_of(orders, state.shard)) and state.begun and not state.yielding:
                logger.info("an order to discard is obeyed", extra=line_of(state, "discarding"))
                self._obey(state)

    def _at_work(self) -> Iterator[ShardState]:
        return (state for state in list(self._shards) if state.begun and not state.yielding)

    def _note_silence(self, error: LogUnavailable | None) -> None:
        if error is not None and not self._silent:
            logger.warning("orders to discard are not seen: %s", error, extra={"action": "orders_unseen"})
        elif error is None and self._silent:
            logger.info("orders to discard are seen again", extra={"action": "orders_seen"})
        self._silent = error is not None


def _tell_if_done(state: ShardState) -> None:
    """Once all is on record that the orders take of the shard."""
    cuts = state.cuts
    if not cuts.ended or state.offsets.safe < min(cuts.upto, state.end):
        return
    waiting = (kept.deferral.record for kept in state.ledger.deferred.values())
    if not any(cuts.takes(record.offset, record.timestamp) for record in waiting):
        logger.info(
            "%d messages were discarded as ordered",
            cuts.ended,
            extra={**line_of(state, "discarded"), "messages": cuts.ended},
        )
        cuts.ended = 0
