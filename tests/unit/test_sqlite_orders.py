"""Orders to discard in the log's file: a file of an older Herald, and rows that nobody wrote."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sqlite_schema import LOG
from domain.errors import LogUnavailable, StorageBroken
from domain.log import Record
from tests.contracts.discard_orders import order
from tests.contracts.rig import record
from tests.sqlite_rig import SqliteRig


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    return await SqliteRig(tmp_path).make_topics()


def change(rig: SqliteRig, *statements: str) -> None:
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def version_of(rig: SqliteRig) -> int:
    with closing(sqlite3.connect(rig.path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def former(rig: SqliteRig) -> list[Record]:
    """A log of the version before orders, with what it holds."""
    async with rig.publisher() as publisher:
        await publisher.publish([record(rig.shard(), "kept", "key")])
    kept = list(await rig.read_all(rig.shard()))
    change(rig, "DROP TABLE discards", "PRAGMA user_version = 2")
    return kept


async def test_a_log_of_the_former_version_goes_on_and_takes_orders(rig: SqliteRig) -> None:
    before = await former(rig)
    async with rig.discard_orders() as orders:
        assert list(await orders.in_force(rig.topic, "email")) == []
        await orders.give(order(rig, {0: 1}))
        given = list(await orders.in_force(rig.topic, "email"))
    async with rig.publisher() as publisher:
        await publisher.publish([record(rig.shard(), "more")])

    assert given == [order(rig, {0: 1})]
    assert version_of(rig) == LOG.version
    assert list(await rig.read_all(rig.shard()))[:1] == before


async def test_who_only_looks_leaves_a_log_of_the_former_version_as_it_is(rig: SqliteRig) -> None:
    before = await former(rig)
    async with rig.lags() as lags, rig.backlog() as backlog, rig.status_view() as view:
        [standing] = await lags.standings("email", [rig.shard()])
        found = [one async for some in backlog.records(rig.shard(), 0, 9) for one in some]
        await view.find("nobody", {rig.topic})

    assert (standing.bounds.end, found) == (1, before)
    assert version_of(rig) == 2


async def test_where_no_log_is_there_is_nothing_to_obey_and_no_file_is_made(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    async with rig.discard_orders() as orders:
        assert list(await orders.in_force("transactions", "email")) == []
        with pytest.raises(LogUnavailable, match="is not there yet: start the API"):
            await orders.give(order(rig, {0: 1}))

    assert not rig.path.exists()


@pytest.mark.parametrize("upto", ["no json", "[1]", '{"0": "x"}', b"\xff"])
async def test_a_row_that_nobody_wrote_is_damage(rig: SqliteRig, upto: str | bytes) -> None:
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as connection:
        row = (1, rig.topic, "email", 1.0, upto, 1.0, "")
        connection.execute("INSERT INTO discards VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    async with rig.discard_orders() as orders:
        with pytest.raises(StorageBroken, match="is damaged"):
            await orders.in_force(rig.topic, "email")
