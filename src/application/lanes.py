"""Who may be sent next: key order within a lane, a fair turn over lanes, a bounded share for retries."""

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from application.delivery import Delivery, LaneKey
from domain.log import Shard

RETRY_SHARE = 0.3


class Lanes:
    """A queue for each key, with at most its head in flight. A record without a key is a lane of its own.

    A head is in exactly one place: ready, waiting for its retry, or out with a worker.
    """

    def __init__(self, concurrency: int) -> None:
        # Lists: most lanes hold one message, and a deque begins with room for 64. The longest is short enough
        # (`HoldingLimits.records`) to be moved up in two microseconds.
        self._lanes: dict[LaneKey, list[Delivery]] = {}
        self._ready: deque[Delivery] = deque()
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._order = itertools.count()
        self._retry_limit = max(1, int(concurrency * RETRY_SHARE))
        self._retries = 0
        self._retried_last = False

    def put(self, delivery: Delivery) -> None:
        """To the end of its lane."""
        key = delivery.lane
        if key is None:
            self._offer(delivery)
            return
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = [delivery]
            self._offer(delivery)
        else:
            lane.append(delivery)

    def behind_deferred(self, delivery: Delivery) -> bool:
        """Whether an earlier one of its lane is deferred: where one is, all of its lane are."""
        lane = self._lane_of(delivery)
        return lane is not None and lane[0] is not delivery and lane[0].is_deferred

    def lane_of(self, delivery: Delivery) -> tuple[Delivery, ...]:
        """All that are in its lane, in order; one without a key is alone."""
        return tuple(self._lane_of(delivery) or (delivery,))

    def take(self, now: float) -> Delivery | None:
        """The next head to send: a retry that is due, as long as retries keep to their share.

        Their share of the slots is not enough where slots are few, so fresh heads and retries take turns.
        """
        is_fresh_turn = self._retried_last and bool(self._ready)
        self._retried_last = False
        if not is_fresh_turn and self._retries < self._retry_limit and self._has_due(now):
            self._retried_last = True
            delivery = heapq.heappop(self._waiting)[2]
            delivery.waiting = -1
            delivery.is_retry = True
            self._retries += 1
            return delivery
        self._skip_ended()
        return self._ready.popleft() if self._ready else None

    def take_probe(self, now: float, probe_round: int) -> Delivery | None:
        """A head that had no turn in this round of probes and whose lost answer is not waited for."""
        waiting = (delivery for _, _, delivery in self._valid_waiting())
        for delivery in itertools.chain(self._ready, waiting):
            had_its_turn = delivery.probe_round == probe_round or delivery.is_ended
            if not had_its_turn and delivery.uncertain_until <= now:
                delivery.probe_round = probe_round
                self._pull(delivery)
                return delivery
        return None

    def finish(self, delivery: Delivery) -> None:
        """Its lane moves on, behind all heads that are ready already."""
        self._free_slot(delivery)
        lane = self._lane_of(delivery)
        if lane is None or lane[0] is not delivery:
            return  # it ended where it waited: it is passed over when its turn comes
        del lane[0]
        while lane and lane[0].is_ended:
            del lane[0]
        if lane:
            self._offer(lane[0])
        elif delivery.lane is not None:
            del self._lanes[delivery.lane]

    def held(self) -> Iterator[Delivery]:
        """All that is not ended, in no order; of those without a key only what is not out with a worker."""
        waiting = (delivery for _, _, delivery in self._valid_waiting())
        free = (delivery for delivery in itertools.chain(self._ready, waiting) if delivery.lane is None)
        for delivery in itertools.chain(free, *self._lanes.values()):
            if not delivery.is_ended:
                yield delivery

    def retry(self, delivery: Delivery, due: float) -> None:
        """Stays the head of its lane, and is not taken before `due`."""
        self._free_slot(delivery)
        delivery.due = due
        delivery.waiting = next(self._order)
        heapq.heappush(self._waiting, (due, delivery.waiting, delivery))

    def give_back(self, delivery: Delivery) -> None:
        """Stays the head of its lane, and may be taken again at once."""
        self._free_slot(delivery)
        self._ready.append(delivery)

    def forget(self, delivery: Delivery) -> None:
        """A worker is done with it after its shard was dropped."""
        self._free_slot(delivery)

    def forget_ended(self) -> None:
        """Lets go of what ended where it waited."""
        self._ready = deque(delivery for delivery in self._ready if not delivery.is_ended)
        self._waiting = self._valid_waiting()
        heapq.heapify(self._waiting)

    def drop(self, shards: AbstractSet[Shard]) -> None:
        """Forgets everything of these shards. What is out with a worker ends in `forget`."""
        self._lanes = {key: lane for key, lane in self._lanes.items() if key[0] not in shards}
        self._ready = deque(_outside(self._ready, shards))
        self._waiting = [entry for entry in self._valid_waiting() if entry[2].shard.shard not in shards]
        heapq.heapify(self._waiting)

    @property
    def has_waiting(self) -> bool:
        """Whether any head waits for its turn or its time."""
        return bool(self._ready or self._waiting)

    def could_start(self, now: float) -> bool:
        """Whether `take` would give one."""
        self._skip_ended()
        return bool(self._ready) or (self._retries < self._retry_limit and self._has_due(now))

    def next_due(self) -> float | None:
        """When the next retry is due, if one waits."""
        self._skip_pulled()
        return self._waiting[0][0] if self._waiting else None

    def _has_due(self, now: float) -> bool:
        self._skip_pulled()
        return bool(self._waiting) and self._waiting[0][0] <= now

    def _skip_pulled(self) -> None:
        while self._waiting and not _is_valid(self._waiting[0]):
            heapq.heappop(self._waiting)

    def _skip_ended(self) -> None:
        while self._ready and self._ready[0].is_ended:
            self._ready.popleft()

    def _valid_waiting(self) -> list[tuple[float, int, Delivery]]:
        return [entry for entry in self._waiting if _is_valid(entry)]

    def _pull(self, delivery: Delivery) -> None:
        if delivery.waiting >= 0:
            delivery.waiting = -1  # its entry in the heap is skipped when it comes up
        else:
            self._ready.remove(delivery)

    def _offer(self, head: Delivery) -> None:
        """A new head of its lane; it may still have to wait for what an earlier process found out."""
        if head.due > 0.0:
            self.retry(head, head.due)
        else:
            self._ready.append(head)

    def _lane_of(self, delivery: Delivery) -> list[Delivery] | None:
        return self._lanes.get(delivery.lane) if delivery.lane is not None else None

    def _free_slot(self, delivery: Delivery) -> None:
        if delivery.is_retry:
            delivery.is_retry = False
            self._retries -= 1


def _is_valid(entry: tuple[float, int, Delivery]) -> bool:
    """Whether it still waits: it may have been pulled out as a probe, or have ended."""
    _, place, delivery = entry
    return delivery.waiting == place and not delivery.is_ended


def _outside(deliveries: Iterable[Delivery], shards: AbstractSet[Shard]) -> Iterable[Delivery]:
    return (delivery for delivery in deliveries if delivery.shard.shard not in shards)
