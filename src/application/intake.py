"""From a record of the log to something to send, to bury, or to pass over."""

from dataclasses import dataclass

from application.channel import Channel
from application.delivery import Delivery
from application.shards import ShardState
from application.verdict import Dead
from domain.outcome import DeadLetterReason
from domain.ports import Record, RecordDecoder

OBJECT_BYTES = 1024
"""What a held message costs beside its bytes, roughly: its objects in memory."""


@dataclass(frozen=True, slots=True)
class Unsendable:
    """A record that becomes a dead letter without a try. It takes no lane."""

    record: Record
    shard: ShardState
    size: int
    dead: Dead


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes records into their shard's books."""

    decode: RecordDecoder
    channel: Channel

    def take(self, record: Record, state: ShardState) -> Delivery | Unsendable | None:
        """None: the message has no address for this channel, and is finished."""
        size = OBJECT_BYTES + 2 * len(record.value or b"")
        state.take(record.offset, record.timestamp, size)
        message = self.decode(record)
        if isinstance(message, str):
            return Unsendable(record, state, size, Dead(DeadLetterReason.UNDECODABLE, message))
        if not self.channel.is_for(message):
            state.finish(record.offset, size)
            return None
        if fault := self.channel.fault(message):
            return Unsendable(record, state, size, Dead(DeadLetterReason.INVALID, fault))
        lane = (record.shard, record.key) if record.key is not None else None
        return Delivery(record=record, message=message, shard=state, lane=lane, size=size)
