"""`GroupLags` on SQLite: the log's file and the groups' files, read while others may write them."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self, TypeVar

from adapters.sqlite_file import faults_of, not_made_yet, open_to_read
from adapters.sqlite_schema import GROUP, LOG, group_path, offset_of, row_id
from adapters.sqlite_thread import SqliteThread
from domain.errors import LogUnavailable
from domain.lag import PutOff, Standing
from domain.log import Bounds, Position, Shard

T = TypeVar("T")

_SHARD = "SELECT id, next_offset FROM shards WHERE topic = ? AND partition = ?"
_FIRST = "SELECT id, time FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT 1"
_POSITION = "SELECT next_offset, metadata FROM positions WHERE topic = ? AND partition = ?"
_PUT_OFF = "SELECT count(*), min(time) FROM deferred WHERE topic = ? AND partition = ? AND position >= ?"


class SqliteGroupLags:
    """Nothing is made or changed by it: where a file is missing, nobody has written there yet."""

    def __init__(self, log_path: Path) -> None:
        self._path = log_path
        self._thread = SqliteThread("lags")

    async def standings(self, group: str, shards: Sequence[Shard]) -> Sequence[Standing]:
        return await self._thread.call(lambda: self._standings(group, shards))

    async def put_off(self, group: str, since: Mapping[Shard, int]) -> Mapping[Shard, PutOff]:
        def count(file: sqlite3.Connection) -> dict[Shard, PutOff]:
            return {shard: _put_off(file, shard, position) for shard, position in since.items()}

        nothing = dict.fromkeys(since, PutOff(0, None))
        return await self._thread.call(lambda: self._in_group(group, count, nothing))

    def _standings(self, group: str, shards: Sequence[Shard]) -> list[Standing]:
        # The positions first: one that is read later may be beyond the ends.
        nothing: dict[Shard, Position] = {}
        positions = self._in_group(group, lambda file: _positions(file, shards), nothing)
        with faults_of(self._path):
            log = open_to_read(self._path, LOG, least=1)
            if log is None:
                raise not_made_yet(self._path)
            with closing(log):
                return [_standing(log, shard, positions.get(shard)) for shard in shards]

    def _in_group(self, group: str, job: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        path = group_path(self._path, group)
        with faults_of(path):
            file = open_to_read(path, GROUP)
            if file is None:
                return nothing
            with closing(file):
                return job(file)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.end(lambda: None)


def _positions(file: sqlite3.Connection, shards: Sequence[Shard]) -> dict[Shard, Position]:
    rows = {shard: file.execute(_POSITION, (shard.topic, shard.partition)).fetchone() for shard in shards}
    return {shard: Position(*row) for shard, row in rows.items() if row is not None}


def _put_off(file: sqlite3.Connection, shard: Shard, since: int) -> PutOff:
    return PutOff(*file.execute(_PUT_OFF, (shard.topic, shard.partition, since)).fetchone())


def _standing(log: sqlite3.Connection, shard: Shard, position: Position | None) -> Standing:
    found = log.execute(_SHARD, (shard.topic, shard.partition)).fetchone()
    if found is None:
        raise LogUnavailable(
            f"the log has no partition {shard.partition} of {shard.topic}: run 'herald topics apply'"
        )
    number, end = found
    past = row_id(number + 1, 0)
    first = log.execute(_FIRST, (row_id(number, 0), past)).fetchone()
    waiting = log.execute(_FIRST, (row_id(number, position.offset if position else 0), past)).fetchone()
    return Standing(
        shard=shard,
        bounds=Bounds(end if first is None else offset_of(first[0]), end),
        position=position,
        waits_since=None if waiting is None else waiting[1],
    )
