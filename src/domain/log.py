"""The log's values: where a record stands, what is in it, and what happens to a reader.

Those that are made or hashed for each message are named tuples: a frozen dataclass takes three times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]
USUAL_HEADERS: Headers = (("content-type", b"application/json"),)  # what a record of ours has at the least


class Shard(NamedTuple):
    """One partition of one topic: what a group hands out to its processes."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record on its way into the log."""

    shard: Shard
    key: bytes | None
    value: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class ReturnedRecord:
    """A record on its way back into the log. Unlike a new one's its value may be null, as it was."""

    shard: Shard
    key: bytes | None
    value: bytes | None
    headers: Headers


class Record(NamedTuple):
    """A record as the log has it. `timestamp`: seconds since the epoch, when the log took it."""

    shard: Shard
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: float

    @property
    def size(self) -> int:
        """Bytes of key, value and headers: other producers' headers may be the most of it."""
        size = len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            size += len(name) + len(value)
        return size


@dataclass(frozen=True, slots=True)
class Receipt:
    """The log has the record safely, at this offset of the shard it was meant for."""

    offset: int


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The log did not confirm the record in time: it may be in the log or not."""

    reason: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a group goes on in a shard: the next offset to read, and a note kept with it."""

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first offset the log still has, and the one that the next record will get."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """These shards are ours from now on. Nothing of them is read before `MessageLog.begin`."""

    shards: frozenset[Shard]


@dataclass(frozen=True, slots=True)
class Revoking:
    """These shards are being taken away: finish, commit, then answer with `MessageLog.release`.

    After `seconds` they are gone whether answered or not.
    """

    shards: frozenset[Shard]
    seconds: float


@dataclass(frozen=True, slots=True)
class Lost:
    """These shards are already another's: drop all that is held of them and commit nothing."""

    shards: frozenset[Shard]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records in offset order within each shard, each handed out once after `begin`."""

    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Retention deleted records before they were read; the log still has `first` and later ones."""

    shard: Shard
    first: int


LogEvent = Assigned | Revoking | Lost | Fetched | Overtaken
