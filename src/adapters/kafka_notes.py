"""A group's notes as Kafka records, and back. Each record begins with the version of its form.

A ledger record is a value in binary: `_FORM`, then three texts. A deferral is the original value; its headers
are ours in a fixed order, then the original ones, so that an original header may have any name. Its record
key is the source offset in decimal, by which Kafka's compaction keeps the last of each; done is a null value.
"""

import struct
from functools import lru_cache
from typing import Any, NamedTuple

from domain.errors import UnknownVersion
from domain.ledger import (
    Deferral,
    LedgerRecord,
    Note,
    State,
    Tombstone,
    Written,
    deferred_topic,
    ledger_topic,
)
from domain.log import Headers, Record, Shard

VERSION = 1

# Version, offset, digest, state, attempts, uncertain, low, time; lengths of id, reason and provider's id.
_FORM = struct.Struct(">BQQBIIQdHHH")
_TEXTS = _FORM.size
# For ever: a number stands for a state in what was written.
_NUMBERS = {State.RETRYING: 0, State.UNCERTAIN: 1, State.SENT: 2, State.DEAD: 3, State.EXPIRED: 4}
_STATES = {number: state for state, number in _NUMBERS.items()}
_LONGEST_TEXT = 2000  # bytes; so that a long answer of a provider fits

_VERSION_HEADER = ("herald-version", str(VERSION).encode())
_KEY, _NO_KEY = "herald-key", "herald-no-key"
_OWN_HEADERS = 6
_DUE_AT = 4  # among them


class NoteRecord(NamedTuple):
    """A note on its way into its topic."""

    shard: Shard
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def record_of_note(shard: Shard, group: str, note: Note) -> NoteRecord:
    """What is written for the note of a shard. Of very long reasons and provider's ids the end is cut off."""
    if isinstance(note, LedgerRecord):
        return NoteRecord(_ledger_of(shard, group), None, _packed(note))
    place = Shard(deferred_topic(shard.topic, group), shard.partition)
    if isinstance(note, Tombstone):
        return NoteRecord(place, b"%d" % note.offset, None, (_VERSION_HEADER,))
    original = note.record
    headers = (*_own_headers(note), *original.headers)
    return NoteRecord(place, b"%d" % original.offset, original.value, headers)


@lru_cache(maxsize=1024)
def _ledger_of(shard: Shard, group: str) -> Shard:
    return Shard(ledger_topic(shard.topic, group), shard.partition)


def entry_of(_: Shard, record: Any) -> Written:
    """The ledger record in a Kafka record, and where it stands. Raises `UnknownVersion`."""
    return Written(record.offset, ledger_record_of(record))


def ledger_record_of(record: Any) -> LedgerRecord:
    """What a Kafka record of a ledger holds. Raises `UnknownVersion`."""
    value: bytes = record.value or b""
    if not value or value[0] != VERSION:
        raise _unknown(record)
    try:
        return _unpacked(value)
    except (struct.error, UnicodeDecodeError, KeyError) as error:
        raise _unknown(record) from error


def deferral_of(shard: Shard, record: Any) -> Written:
    """The deferral or tombstone in a Kafka record. Raises `UnknownVersion`."""
    if not record.headers or record.headers[0] != _VERSION_HEADER:
        raise _unknown(record)
    try:
        offset = int(record.key)
        if record.value is None:
            return Written(record.offset, Tombstone(offset))
        return Written(record.offset, _deferral(shard, offset, record))
    except (TypeError, ValueError) as error:
        raise _unknown(record) from error


def due_of(record: Any) -> float:
    """Of a Kafka record with a deferral: when it is due. 0 in a form not known."""
    try:
        return float(record.headers[_DUE_AT][1])
    except (IndexError, TypeError, ValueError):
        return 0.0


def _packed(note: LedgerRecord) -> bytes:
    texts = (note.request_id.encode(), _cut(note.reason), _cut(note.provider_id))
    numbers = (note.offset, note.digest, _NUMBERS[note.state], note.attempts, note.uncertain, note.low)
    return b"".join((_FORM.pack(VERSION, *numbers, note.at, *map(len, texts)), *texts))


def _cut(text: str) -> bytes:
    """Lone surrogates, which a server's odd bytes may have become, are not for UTF-8."""
    if not text:
        return b""
    encoded = text.encode("utf-8", "replace")
    return encoded[:_LONGEST_TEXT].decode("utf-8", "ignore").encode()


def _unpacked(value: bytes) -> LedgerRecord:
    """Raises `struct.error`, `KeyError`, `UnicodeDecodeError` for what `_packed` does not write.

    A group's hundred thousands of records pass here when its process starts.
    """
    _, offset, digest, state, attempts, uncertain, low, at, *lengths = _FORM.unpack_from(value)
    id_bytes, reason_bytes, provider_bytes = lengths
    id_end = _TEXTS + id_bytes
    reason_end = id_end + reason_bytes
    if len(value) != reason_end + provider_bytes:
        raise struct.error
    return LedgerRecord(  # by place: with names it takes half as long again
        offset,
        value[_TEXTS:id_end].decode(),
        digest,
        _STATES[state],
        low,
        at,
        attempts,
        uncertain,
        value[id_end:reason_end].decode() if reason_bytes else "",
        value[reason_end:].decode() if provider_bytes else "",
    )


def _own_headers(note: Deferral) -> Headers:
    key = note.record.key
    return (
        _VERSION_HEADER,
        (_NO_KEY, b"") if key is None else (_KEY, key),
        ("herald-attempts", b"%d" % note.attempts),
        ("herald-uncertain", b"%d" % note.uncertain),
        ("herald-due", repr(note.due).encode()),
        ("herald-timestamp", repr(note.record.timestamp).encode()),
    )


def _deferral(shard: Shard, offset: int, record: Any) -> Deferral:
    """Raises `ValueError` where the headers are not those that `_own_headers` writes."""
    headers: Headers = tuple((name, value or b"") for name, value in record.headers)
    _, (key_name, key), *numbers = headers[:_OWN_HEADERS]
    attempts, uncertain, due, timestamp = (value for _, value in numbers)
    original = Record(
        shard=shard,
        offset=offset,
        key=key if key_name == _KEY else None,
        value=record.value,
        headers=headers[_OWN_HEADERS:],
        timestamp=float(timestamp),
    )
    return Deferral(record=original, attempts=int(attempts), uncertain=int(uncertain), due=float(due))


def _unknown(record: Any) -> UnknownVersion:
    return UnknownVersion(
        f"record {record.offset} of {record.topic}-{record.partition} is not in a form that this Herald "
        "knows: run the version that wrote it"
    )
