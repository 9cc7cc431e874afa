"""Where records go that were read, or that an earlier owner had put off: to be sent, buried or ended."""

from collections.abc import Sequence

from application.bookkeeper import Bookkeeper
from application.burial import Burial
from application.burial_queue import BurialQueue
from application.counts import DeliveryCounts
from application.delivery import Delivery
from application.dispatcher import Dispatcher
from application.intake import Discarded, Intake, Taken, Unsendable
from application.shards import Shards, ShardState
from domain.log import Record
from domain.ports import MessageLog


class Reception:
    """Asks the intake about each, and gives it to whom it concerns. Not a task of its own."""

    def __init__(
        self,
        log: MessageLog,
        shards: Shards,
        intake: Intake,
        dispatcher: Dispatcher,
        burial: Burial,
        books: Bookkeeper,
        counts: DeliveryCounts,
    ) -> None:
        self._log = log
        self._shards = shards
        self._intake = intake
        self._dispatcher = dispatcher
        self.burials = BurialQueue(burial, self._note_buried)
        self._books = books
        self._counts = counts
        self.taken = 0

    def take_in(self, records: Sequence[Record], *, only_cut: bool = False) -> None:
        """`only_cut`: what no order to discard takes stays in the log, for nothing can be sent now."""
        taking: set[ShardState] = set()
        left: set[ShardState] = set()
        for record in records:
            state = self._shards.get(record.shard)
            if state is None or state.yielding or state in left:
                continue
            if only_cut and not state.cuts.takes(record.offset, record.timestamp):
                state.cuts.refuse(state.offsets.next)
                left.add(state)
            elif state.is_held_back:
                left.add(state)
            else:
                self.release(state, record.offset)
                self._accept(self._intake.take(record, state), state, record.offset)
                taking.add(state)
        for state in taking:
            self._shards.fill(state)
        for state in left:
            self._log.begin(state.shard, state.offsets.next)
        self.taken += 1
        self._dispatcher.wake()

    def release(self, state: ShardState, offset: int) -> None:
        """What was put off and waits for the reader starts once that has passed its place in the log."""
        for deferral in self._intake.passed(state, offset):
            self._accept(self._intake.revive(deferral, state), state, deferral.record.offset)

    def _note_buried(self, unsendable: Unsendable) -> None:
        self._counts.deliveries[unsendable.shard.shard.topic, "dead"] += 1
        self._books.end_unsendable(unsendable)

    def _accept(self, taken: Taken, state: ShardState, offset: int) -> None:
        if isinstance(taken, Delivery):
            self._dispatcher.put(taken)
            self._books.follow(taken)
        elif isinstance(taken, Unsendable):
            self.burials.put(taken)
        elif isinstance(taken, Discarded):
            self._counts.deliveries[state.shard.topic, "expired"] += 1
            state.cuts.ended += 1
            self._books.end_discarded(taken)
        else:
            self._counts.deliveries[state.shard.topic, taken] += 1
            if offset in state.ledger.deferred:
                self._books.drop_deferral(state, offset)
