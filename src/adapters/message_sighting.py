"""What a record of the log tells of its message's status."""

from adapters.message_json import decode_record
from domain.channels import GROUPS, channels_of
from domain.dead_letter import FOR_GROUP, id_without_message
from domain.log import Record
from domain.status import Sighting


def sighting_of(record: Record) -> Sighting:
    """One that is no message is every group's: each makes a dead letter of it."""
    message = decode_record(record)
    headers = dict(record.headers)
    if isinstance(message, str):
        request_id = id_without_message(record)
        channels = frozenset(GROUPS)
    else:
        request_id = message.request_id
        channels = channels_of(message)
    return Sighting(
        shard=record.shard,
        offset=record.offset,
        request_id=request_id,
        accepted_at=record.timestamp,
        channels=channels,
        for_group=headers.get(FOR_GROUP, b"").decode("utf-8", "replace"),
    )
