"""From a record of the log to something to send, to bury or to pass over: the skip rule."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from application.channel import Channel
from application.delivery import Delivery
from application.shards import ShardState
from application.verdict import Dead
from domain.dead_letter import FOR_GROUP, id_without_message
from domain.expiry import expiry_of
from domain.ledger import Deferral, State, digest_of
from domain.log import Record
from domain.message import Message
from domain.outcome import DeadLetterReason
from domain.ports import Clock, RecordDecoder
from domain.retry import RetryPolicy
from domain.topic import Topic

logger = logging.getLogger("herald.engine")

OBJECT_BYTES = 1024
"""What a held message costs beside its bytes, roughly: its objects in memory."""

SKIPPED = "skipped"  # no address for this channel, or meant for another group
REPEATED = "repeated"  # ended already, or a repeat of one that is open or sent


@dataclass(frozen=True, slots=True)
class Untried:
    """A record that ends without a try. It takes no lane; the tries are those of before, on record."""

    record: Record
    shard: ShardState
    size: int
    request_id: str
    attempts: int = 0
    uncertain: int = 0

    @property
    def offset(self) -> int:
        return self.record.offset


class Discarded(Untried):
    """An order ends it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsendable(Untried):
    """It becomes a dead letter. It is never deferred."""

    dead: Dead


Read = Delivery | Unsendable | str
Taken = Read | Discarded


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes records into their shard's books."""

    decode: RecordDecoder
    channel: Channel
    clock: Clock
    policy: RetryPolicy
    topics: Mapping[str, Topic]

    def take(self, record: Record, state: ShardState) -> Taken:
        """Something that the shard holds from now on, or why the record is passed over."""
        if state.aside and state.aside[0].record.offset == record.offset:
            state.offsets.skip_to(record.offset + 1)
            return self.revive(state.aside.popleft(), state)
        taken = self._take(record, state)
        if isinstance(taken, str):
            state.offsets.skip_to(record.offset + 1)
        else:
            state.take(taken, record.timestamp)
        return taken

    def revive(self, deferral: Deferral, state: ShardState) -> Taken:
        """What was put off by an earlier owner of the shard; its place in the log is finished."""
        read = self._read(deferral.record, state)
        if isinstance(read, str):
            return read
        request_id = _id_of(read)
        if state.ledger.has_ended(read.offset, request_id):
            return REPEATED  # the end was noted, and the tombstone was not
        if isinstance(read, Unsendable):
            return _unless_cut(read)
        if state.ledger.sent_digest(request_id) == digest_of(deferral.record.value):
            return REPEATED  # a put that was given up was written after all, behind the tombstone
        read.is_deferred = True
        if not self._go_on_from_tries(read):
            self._go_on(read, deferral.attempts, deferral.uncertain, deferral.due)
        return self._opened(read, state)

    def passed(self, state: ShardState, offset: int) -> list[Deferral]:
        """What waited for offsets below this one, which were committed or are not in the log any more."""
        passed: list[Deferral] = []
        while state.aside and state.aside[0].record.offset < offset:
            passed.append(state.aside.popleft())
        return passed

    def _take(self, record: Record, state: ShardState) -> Taken:
        if is_for_another(record, self.channel.group):
            return SKIPPED
        read = self._read(record, state)
        if isinstance(read, str):
            return read
        request_id = _id_of(read)
        if state.ledger.has_ended(record.offset, request_id):
            return REPEATED
        if isinstance(read, Unsendable):
            return _unless_cut(read)
        known = self._known_digest(request_id, state)
        if known is not None:
            reused = known != digest_of(record.value)
            return _unless_cut(_unsendable(read, REUSED_ID, _REUSED)) if reused else REPEATED
        self._go_on_from_tries(read)
        return self._opened(read, state)

    def _opened(self, delivery: Delivery, state: ShardState) -> Taken:
        if _is_cut(delivery):
            return _discarded(delivery, delivery.message.request_id)
        state.open_ids[delivery.message.request_id] = delivery
        return self._unless_spent(delivery)

    def _go_on_from_tries(self, delivery: Delivery) -> bool:
        """Whether the ledger knows of tries that no deferral carries, as a process notes before it ends."""
        tried = delivery.shard.ledger.tries_not_carried(delivery.offset, delivery.message.request_id)
        if tried is None:
            return False
        policy = self.policy
        wait = (
            policy.uncertain_wait(tried.uncertain)
            if tried.state is State.UNCERTAIN
            else policy.wait(tried.attempts, 0.0)
        )
        self._go_on(delivery, tried.attempts, tried.uncertain, tried.at + wait)
        return True

    def _go_on(self, delivery: Delivery, attempts: int, uncertain: int, due: float) -> None:
        """`due` in epoch seconds; a message's waiting survives the process that began it.

        Not where it is longer than any: then the clock was wrong when that was written, or is now.
        """
        delivery.attempts = delivery.failures = attempts
        delivery.uncertain = uncertain
        if due > (now := self.clock.now()):
            delivery.due = self.clock.monotonic() + min(due - now, self.policy.longest_wait)
            if uncertain:
                delivery.uncertain_until = delivery.due

    def _unless_spent(self, delivery: Delivery) -> Delivery | Unsendable:
        """A stop may have cut off a message's last try: it must not get another one."""
        if self.policy.is_too_uncertain(delivery.uncertain):
            return _unsendable(delivery, DeadLetterReason.UNCERTAIN, "its answers were lost")
        return delivery

    def _known_digest(self, request_id: str, state: ShardState) -> int | None:
        held = state.open_ids.get(request_id)
        if isinstance(held, Delivery):
            return digest_of(held.record.value)
        return state.ledger.sent_digest(request_id)

    def _read(self, record: Record, state: ShardState) -> Read:
        size = OBJECT_BYTES + record.size + len(record.value or b"")  # what is read from it stands beside it
        try:
            message = self.decode(record)
            if isinstance(message, str):
                dead = Dead(DeadLetterReason.UNDECODABLE, message)
                return Unsendable(record, state, size, id_without_message(record), dead=dead)
            if not self.channel.is_for(message):
                return SKIPPED
            return self._checked(record, message, state, size)
        except Exception:
            # Our bug. One record must not end the process, and the next one, and the next.
            logger.exception("reading a record failed by a bug in Herald", extra={"action": "intake_bug"})
            dead = Dead(DeadLetterReason.UNDECODABLE, "a bug in Herald; its log has the details")
            return Unsendable(record, state, size, id_without_message(record), dead=dead)

    def _checked(self, record: Record, message: Message, state: ShardState, size: int) -> Read:
        if fault := self.channel.fault(message):
            dead = Dead(DeadLetterReason.INVALID, fault)
            return Unsendable(record, state, size, message.request_id, dead=dead)
        topic = self.topics.get(record.shard.topic)
        lasts = topic.expires_after_seconds if topic is not None else 0
        return Delivery(
            record=record,
            message=message,
            shard=state,
            lane=(record.shard, record.key) if record.key is not None else None,
            size=size,
            expires_at=expiry_of(message, record.timestamp, lasts),
        )


def _id_of(read: Delivery | Unsendable) -> str:
    return read.message.request_id if isinstance(read, Delivery) else read.request_id


def _is_cut(read: Delivery | Unsendable) -> bool:
    """Whether an order takes it."""
    record, cuts = read.record, read.shard.cuts
    return record.offset < cuts.upto and cuts.takes(record.offset, record.timestamp)


def _unless_cut(unsendable: Unsendable) -> Unsendable | Discarded:
    """Nobody needs a dead letter of what was not to be sent any more."""
    return _discarded(unsendable, unsendable.request_id) if _is_cut(unsendable) else unsendable


def _discarded(read: Delivery | Unsendable, request_id: str) -> Discarded:
    return Discarded(read.record, read.shard, read.size, request_id, read.attempts, read.uncertain)


REUSED_ID = DeadLetterReason.REQUEST_ID_REUSED
_REUSED = "another message of its partition has this request_id, with other content"


def _unsendable(delivery: Delivery, reason: DeadLetterReason, error: str) -> Unsendable:
    return Unsendable(
        delivery.record,
        delivery.shard,
        delivery.size,
        delivery.message.request_id,
        delivery.attempts,
        delivery.uncertain,
        dead=Dead(reason, error),
    )


def is_for_another(record: Record, group: str) -> bool:
    """Whether the record was put back into its topic for one group alone, and not for this one."""
    others = [value for name, value in record.headers if name == FOR_GROUP and value != group.encode()]
    return bool(others)
