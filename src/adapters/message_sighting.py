"""What a record of the log tells of its message's status."""

from adapters.message_json import decode_record
from domain.dead_letter import FOR_GROUP, id_without_message
from domain.log import Record
from domain.status import Sighting

EVERY_CHANNEL = frozenset({"email", "sms"})


def sighting_of(record: Record) -> Sighting:
    """One that is no message is every group's: each makes a dead letter of it."""
    message = decode_record(record)
    headers = dict(record.headers)
    if isinstance(message, str):
        request_id = id_without_message(record)
        channels = EVERY_CHANNEL
    else:
        request_id = message.request_id
        addresses = {"email": message.email, "sms": message.phone}
        channels = frozenset(channel for channel, address in addresses.items() if address)
    return Sighting(
        shard=record.shard,
        offset=record.offset,
        request_id=request_id,
        accepted_at=record.timestamp,
        channels=channels,
        for_group=headers.get(FOR_GROUP, b"").decode("utf-8", "replace"),
    )
