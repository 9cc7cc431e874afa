"""What a group writes down of its messages: what became of each, and what is put off until later.

Both are append-only logs of a shard's own, beside its topic. A position counts up within a shard's ledger,
or within its deferrals; it may have gaps, and means nothing in another shard.

What is made for each message is a named tuple: a frozen dataclass takes twice as long.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from domain.log import Bounds, Record


class State(StrEnum):
    """How a message stood when its group last wrote it down."""

    __hash__ = str.__hash__  # as the text that it equals; an enum's own is Python, and is asked each message

    RETRYING = "retrying"
    UNCERTAIN = "uncertain"  # the last answer was lost; it is sent again
    SENT = "sent"
    DEAD = "dead"
    EXPIRED = "expired"

    @property
    def is_end(self) -> bool:
        return self not in _OPEN


_OPEN = (State.RETRYING, State.UNCERTAIN)


class LedgerRecord(NamedTuple):
    """A message's end, or a change of its attempts.

    `offset` is the message's in its topic, `digest` that of its value; `reason` is a dead letter's, or what
    the last failure was about, without an address. `low`: below it everything of the shard was finished.
    `at`: seconds since the epoch.
    """

    offset: int
    request_id: str
    digest: int
    state: State
    low: int
    at: float
    attempts: int = 0
    uncertain: int = 0
    reason: str = ""
    provider_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """A message kept safe outside its topic, so that the group's position may pass it.

    `record` is the original, byte for byte; its value is not null. `due`: seconds since the epoch; 0 for
    one that only waits for an earlier one of its key.
    """

    record: Record
    attempts: int = 0
    uncertain: int = 0
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The deferral of this offset is done."""

    offset: int


Note = LedgerRecord | Deferral | Tombstone


class Written(NamedTuple):
    """A note at its position: a `LedgerRecord` in the ledger, the others among the deferrals."""

    position: int
    note: Note


@dataclass(frozen=True, slots=True)
class Places:
    """A position in a shard's ledger and one in its deferrals."""

    ledger: int
    deferred: int


@dataclass(frozen=True, slots=True)
class Extent:
    """What the log has of a shard's ledger and of its deferrals. An `end` above 0: there was a note once."""

    ledger: Bounds
    deferred: Bounds


def digest_of(value: bytes | None) -> int:
    """The 8-byte BLAKE2b of a record's value, as an unsigned number; that of nothing for null."""
    return int.from_bytes(blake2b(value or b"", digest_size=8).digest(), "big")


def note_bytes(note: Note) -> int:
    """About how many bytes the note takes in a log."""
    return 128 + note.record.size if isinstance(note, Deferral) else 128


def ledger_topic(topic: str, group: str) -> str:
    """Where `group` writes down what became of the messages of `topic`."""
    return f"{topic}.{group}.ledger"


def deferred_topic(topic: str, group: str) -> str:
    """Where `group` keeps messages of `topic` that it put off."""
    return f"{topic}.{group}.deferred"
