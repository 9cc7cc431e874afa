"""From a record of the log to something to send, to bury, or to pass over."""

import logging
from dataclasses import dataclass

from application.channel import Channel
from application.delivery import Delivery
from application.shards import ShardState
from application.verdict import Dead
from domain.log import Record
from domain.message import Message
from domain.outcome import DeadLetterReason
from domain.ports import RecordDecoder

logger = logging.getLogger("herald.engine")

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
        read = self._read(record)
        if read is None:
            state.finish(record.offset, size)
            return None
        if isinstance(read, Dead):
            return Unsendable(record, state, size, read)
        lane = (record.shard, record.key) if record.key is not None else None
        return Delivery(record=record, message=read, shard=state, lane=lane, size=size)

    def _read(self, record: Record) -> Message | Dead | None:
        try:
            message = self.decode(record)
            if isinstance(message, str):
                return Dead(DeadLetterReason.UNDECODABLE, message)
            if not self.channel.is_for(message):
                return None
            fault = self.channel.fault(message)
        except Exception:
            # Our bug. One record must not end the process, and the next one, and the next.
            logger.exception("reading a record failed by a bug in Herald", extra={"action": "intake_bug"})
            return Dead(DeadLetterReason.UNDECODABLE, "a bug in Herald; its log has the details")
        return Dead(DeadLetterReason.INVALID, fault) if fault else message
