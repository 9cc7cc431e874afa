"""Orders to discard as Kafka records, and back.

A record's key is the order's own, so that compaction keeps each; one that a later one includes is ended by a
null value. The first header is the version of the form.
"""

import json
from typing import Any
from uuid import uuid4

from adapters.kafka_notes import NoteRecord
from domain.discard import Discard, control_topic
from domain.errors import UnknownVersion
from domain.log import Shard

VERSION = 1
_VERSION_HEADER = ("herald-version", str(VERSION).encode())


def record_of_order(order: Discard) -> NoteRecord:
    told = {
        "discard_before": order.before,
        "upto": {str(partition): offset for partition, offset in order.upto.items()},
        "at": order.at,
        "by": order.by,
    }
    key = uuid4().hex.encode()
    return NoteRecord(_place(order.topic, order.group), key, json.dumps(told).encode(), (_VERSION_HEADER,))


def end_of_order(topic: str, group: str, key: bytes) -> NoteRecord:
    return NoteRecord(_place(topic, group), key, None, (_VERSION_HEADER,))


def order_of(topic: str, group: str, record: Any) -> Discard | None:
    """The order in a Kafka record; None: the one of this key has ended. Raises `UnknownVersion`."""
    if not record.headers or record.headers[0] != _VERSION_HEADER or record.key is None:
        raise _unknown(record)
    if record.value is None:
        return None
    try:
        told = json.loads(record.value)
        return Discard(
            topic=topic,
            group=group,
            before=float(told["discard_before"]),
            upto={int(partition): int(offset) for partition, offset in told["upto"].items()},
            at=float(told["at"]),
            by=str(told["by"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unknown(record) from error


def _place(topic: str, group: str) -> Shard:
    return Shard(control_topic(topic, group), 0)


def _unknown(record: Any) -> UnknownVersion:
    return UnknownVersion(
        f"record {record.offset} of {record.topic} is no order that this Herald knows: run the version that "
        "wrote it"
    )
