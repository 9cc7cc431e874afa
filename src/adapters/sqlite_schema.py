"""What Herald's SQLite files hold, and how a record lies in them."""

import struct
from functools import lru_cache
from pathlib import Path

from adapters.sqlite_file import Schema, damaged
from domain.log import Headers

# A record's row id is its shard's number and its offset: rows lie in the order in which they are
# read, and no index is needed beside the table.
OFFSET_BITS = 40
_OFFSETS = (1 << OFFSET_BITS) - 1

# What was put back of which group's letter, beside the records: they are one transaction.
_REPLAYS = (
    """CREATE TABLE replays (
        topic TEXT NOT NULL, group_name TEXT NOT NULL, partition INTEGER NOT NULL,
        log_offset INTEGER NOT NULL, failed_at REAL NOT NULL, replayed_at REAL NOT NULL,
        replayed_by TEXT NOT NULL, PRIMARY KEY (topic, group_name, partition, log_offset, failed_at)
    ) WITHOUT ROWID""",
)

# `upto`: a JSON object, by partition. A file of version 2 may have the table: an older Herald that still runs
# when it is brought up to date may write its own version back.
_ORDERS = (
    """CREATE TABLE IF NOT EXISTS discards (
        id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, group_name TEXT NOT NULL,
        before REAL NOT NULL, upto TEXT NOT NULL, given_at REAL NOT NULL, given_by TEXT NOT NULL
    )""",
)

LOG = Schema(
    kind="log of Herald",
    application_id=0x48524C44,  # "HRLD"
    version=3,
    statements=(
        """CREATE TABLE topics (
            name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, replication_factor INTEGER NOT NULL
        )""",
        # The next offset outlives the rows: after retention has taken them all, counting goes on.
        """CREATE TABLE shards (
            id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
            next_offset INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, partition)
        )""",
        # `headers` is null where there are none.
        """CREATE TABLE records (
            id INTEGER PRIMARY KEY, time REAL NOT NULL, key BLOB, value BLOB NOT NULL, headers BLOB
        )""",
        *_REPLAYS,
        *_ORDERS,
    ),
    steps={1: _REPLAYS, 2: _ORDERS},
)

# What became of the group's messages, and which of them it put off. All positions begin at 0.
_LEDGER = (
    # Where a shard's next notes go. It outlives the rows, as positions only rise.
    """CREATE TABLE ledger_ends (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, ledger INTEGER NOT NULL, deferred INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID""",
    # `digest` is signed, as SQLite's integers are: what is above 2**63 - 1 is stored less 2**64.
    """CREATE TABLE ledger (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, position INTEGER NOT NULL,
        log_offset INTEGER NOT NULL, request_id TEXT NOT NULL, digest INTEGER NOT NULL, state TEXT NOT NULL,
        attempts INTEGER NOT NULL, uncertain INTEGER NOT NULL, reason TEXT NOT NULL,
        provider_id TEXT NOT NULL, low INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (topic, partition, position)
    ) WITHOUT ROWID""",
    "CREATE INDEX ledger_of_request ON ledger (request_id)",
    # One row a message that is put off; `time` is when the log took it.
    """CREATE TABLE deferred (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, log_offset INTEGER NOT NULL,
        position INTEGER NOT NULL, time REAL NOT NULL, key BLOB, value BLOB NOT NULL, headers BLOB,
        attempts INTEGER NOT NULL, uncertain INTEGER NOT NULL, due REAL NOT NULL,
        PRIMARY KEY (topic, partition, log_offset)
    )""",
    "CREATE UNIQUE INDEX deferred_in_order ON deferred (topic, partition, position)",
)

# Letters are looked for in the order of failing, and each source once.
_LETTERS_FOUND = (
    "CREATE INDEX dead_letters_in_order ON dead_letters (failed_at, topic, partition, log_offset)",
    "CREATE INDEX dead_letters_of_source ON dead_letters (topic, partition, log_offset)",
)

GROUP = Schema(
    kind="group's file of Herald",
    application_id=0x48524C47,  # "HRLG"
    version=3,
    statements=(
        """CREATE TABLE positions (
            topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
            metadata TEXT NOT NULL, PRIMARY KEY (topic, partition)
        )""",
        """CREATE TABLE dead_letters (
            id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, partition INTEGER NOT NULL,
            log_offset INTEGER NOT NULL, time REAL NOT NULL, key BLOB, value BLOB, headers BLOB,
            reason TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, failed_at REAL NOT NULL
        )""",
        *_LEDGER,
        *_LETTERS_FOUND,
    ),
    steps={1: _LEDGER, 2: _LETTERS_FOUND},
)


def group_path(log_path: Path, group: str, suffix: str = "db") -> Path:
    """`data/herald.db` → `data/herald.email.db`."""
    return log_path.with_name(f"{log_path.stem}.{group}.{suffix}")


def row_id(shard: int, offset: int) -> int:
    return (shard << OFFSET_BITS) | offset


def offset_of(row: int) -> int:
    return row & _OFFSETS


@lru_cache(maxsize=1024)
def pack_headers(headers: Headers) -> bytes | None:
    """Each header as the lengths of its name and value (2 and 4 bytes), then both."""
    packed = []
    for name, value in headers:
        raw = name.encode()
        packed.append(struct.pack(f">HI{len(raw)}s{len(value)}s", len(raw), len(value), raw, value))
    return b"".join(packed) or None


@lru_cache(maxsize=1024)
def unpack_headers(packed: bytes | None) -> Headers:
    """Raises `sqlite3.DatabaseError` for what `pack_headers` did not write."""
    headers = []
    at = 0
    while packed and at < len(packed):
        try:
            name_length, value_length = struct.unpack_from(">HI", packed, at)
            middle = at + 6 + name_length
            at = middle + value_length
            headers.append((packed[middle - name_length : middle].decode(), packed[middle:at]))
        except (struct.error, UnicodeDecodeError, TypeError) as error:
            raise damaged(error) from error
    return tuple(headers)
