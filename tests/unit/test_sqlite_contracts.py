import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.file_presence import presence_folder
from tests.contracts.backlog import GroupBacklogContract
from tests.contracts.dead_letter_archive import DeadLetterArchiveContract
from tests.contracts.dead_letters import DeadLettersContract
from tests.contracts.discard_orders import DiscardOrdersContract
from tests.contracts.lags import GroupLagsContract
from tests.contracts.ledger import LedgerContract
from tests.contracts.log import LogContract
from tests.contracts.presence import PresenceContract, report
from tests.contracts.publisher import PublisherContract
from tests.contracts.rig import Rig
from tests.contracts.status import StatusViewContract
from tests.contracts.topic_catalog import TopicCatalogContract
from tests.sqlite_rig import SqliteRig


class OnSqlite:
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> Rig:
        return await SqliteRig(tmp_path).make_topics()


class TestSqlitePublisher(OnSqlite, PublisherContract):
    pass


class TestSqliteLog(OnSqlite, LogContract):
    pass


class TestSqliteDeadLetters(OnSqlite, DeadLettersContract):
    pass


class TestSqliteDeadLetterArchive(OnSqlite, DeadLetterArchiveContract):
    pass


class TestSqliteLedger(OnSqlite, LedgerContract):
    pass


class TestSqliteStatusView(OnSqlite, StatusViewContract):
    pass


class TestSqliteGroupLags(OnSqlite, GroupLagsContract):
    pass


class TestSqliteGroupBacklog(OnSqlite, GroupBacklogContract):
    pass


class TestSqliteDiscardOrders(OnSqlite, DiscardOrdersContract):
    pass


class TestSqliteTopicCatalog(OnSqlite, TopicCatalogContract):
    async def test_looking_leaves_an_older_herald_s_file_as_it_is(self, rig: SqliteRig) -> None:
        """It may still run, and would not open the file again."""
        with closing(sqlite3.connect(rig.path)) as file:
            file.executescript("DROP TABLE discards; PRAGMA user_version = 2")
        async with rig.catalog() as catalog:
            found = await catalog.find({rig.topic})

        assert list(found) == [rig.topic]
        with closing(sqlite3.connect(rig.path)) as file:
            assert file.execute("PRAGMA user_version").fetchone() == (2,)


class TestFilePresence(OnSqlite, PresenceContract):
    async def test_what_killed_processes_left_goes_when_another_one_tells(self, rig: SqliteRig) -> None:
        killed = presence_folder(rig.path) / "killed.json"
        async with rig.presence() as one:
            await one.tell(report("killed"))
            os.utime(killed, times=(0, 0))
        async with rig.presence() as other:
            told = report("other")
            await other.tell(replace(told, at=told.started_at + 0.1))  # it had to find out how it stands

        assert [path.name for path in presence_folder(rig.path).iterdir()] == ["other.json"]
