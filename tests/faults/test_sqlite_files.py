"""The SQLite log's files fail under whole processes: full, read-only, damaged, exchanged; or one dies."""

import asyncio
import random
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import Popen

import pytest

from tests.faults.scene import Scene, kill
from tests.integration import unprivileged
from tests.site import eventually

CONCURRENCY = 4
RIGHTS = "check the owner and rights of it, its -wal and -shm, and its folder"
BOUND_BY_RIGHTS = (sys.executable, unprivileged.__file__)


def messages(prefix: str, count: int) -> list[dict[str, str]]:
    return [{"request_id": f"{prefix}{number}", "email": "ada@example.test"} for number in range(count)]


def ids(*prefixes: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for prefix in prefixes for number in range(count)]


def data(scene: Scene, name: str) -> Path:
    return scene.site.folder / "data" / name


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def let_files_grow_to(process: Popen[bytes], size: int) -> None:
    """The kernel then refuses to write past it, as a full disk does."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))


async def working(scene: Scene) -> tuple[Popen[bytes], Popen[bytes]]:
    """The API and the consumer of mails, after so many messages that their `-wal` is the largest file."""
    scene.set(delivery__concurrency=CONCURRENCY)
    api = scene.site.start("api")
    consumer = scene.site.start_consumer("email")
    assert await scene.site.ready(), scene.site.output()
    for number in range(15):
        await scene.post(messages(f"before{number}-", 4))
    before = [f"before{batch}-{number}" for batch in range(15) for number in range(4)]
    assert await scene.mailed_all(before), scene.site.output()
    return api, consumer


# Full -----------------------------------------------------------------------------------------------


async def test_while_the_logs_disk_is_full_the_api_says_so_and_goes_on_when_there_is_room(
    sqlite_scene: Scene,
) -> None:
    site = sqlite_scene.site
    api, _ = await working(sqlite_scene)
    let_files_grow_to(api, data(sqlite_scene, "herald.db-wal").stat().st_size)

    refused = [await site.post(request_id=f"during{number}", phone="") for number in range(3)]
    ready = await site.http.get(f"{site.api}/health/ready")
    live = await site.http.get(f"{site.api}/health/live")
    let_files_grow_to(api, resource.RLIM_INFINITY)
    again = await site.ready()
    await sqlite_scene.post(messages("after", 5))
    assert await sqlite_scene.mailed_all(ids("after", count=5)), site.output()

    assert [answer.status_code for answer in refused] == [503] * 3
    assert refused[0].json()["type"] == "urn:herald:problem:log-unavailable"
    assert refused[0].headers["retry-after"]
    assert (ready.status_code, live.status_code, again) == (503, 200, True)
    assert not {one for one in sqlite_scene.mailed() if one.startswith("during")}
    there = rows(data(sqlite_scene, "herald.db"), "SELECT count(*) FROM records")
    ends = rows(data(sqlite_scene, "herald.db"), "SELECT sum(next_offset) FROM shards")
    assert there == ends == [(65,)]


async def test_while_the_groups_disk_is_full_few_are_sent_and_all_are_noted_when_there_is_room(
    sqlite_scene: Scene,
) -> None:
    site = sqlite_scene.site
    _, consumer = await working(sqlite_scene)
    sent = len(sqlite_scene.mails.mails)
    let_files_grow_to(consumer, data(sqlite_scene, "herald.email.db-wal").stat().st_size)
    await sqlite_scene.post(messages("during", 60))

    more_than_allowed = await sqlite_scene.mailed_count(sent + 2 * CONCURRENCY + 1, seconds=3.0)
    live = await site.http.get(f"http://127.0.0.1:{site.health_ports['email']}/health/live")
    let_files_grow_to(consumer, resource.RLIM_INFINITY)
    assert await sqlite_scene.mailed_all(ids("during", count=60)), site.output()

    assert not more_than_allowed
    assert (consumer.poll(), live.status_code) == (None, 200)
    assert len(sqlite_scene.mails.mails) == sent + 60
    assert await eventually(lambda: noted(sqlite_scene, sent + 60))
    assert [line["reason"] for line in sqlite_scene.logged("consumer-email", "log_away")] == []


async def noted(scene: Scene, count: int) -> bool:
    """Whether the ledger, its ends and the positions all say so many."""
    path = data(scene, "herald.email.db")
    [(sent,)] = rows(path, "SELECT count(DISTINCT request_id) FROM ledger WHERE state = 'sent'")
    [(ends, there)] = rows(
        path, "SELECT (SELECT sum(ledger) FROM ledger_ends), (SELECT count(*) FROM ledger)"
    )
    [(position,)] = rows(path, "SELECT sum(next_offset) FROM positions")
    assert ends == there
    return (sent, position) == (count, count)


# Read-only ------------------------------------------------------------------------------------------


def bind_by_rights(scene: Scene) -> None:
    scene.site.program = (*BOUND_BY_RIGHTS, *scene.site.program)


async def test_with_a_read_only_groups_file_nothing_is_sent_and_the_consumer_says_why(
    sqlite_scene: Scene,
) -> None:
    bind_by_rights(sqlite_scene)
    _, consumer = await working(sqlite_scene)
    consumer.terminate()
    assert consumer.wait(25) == 0
    sent = len(sqlite_scene.mails.mails)
    await sqlite_scene.post(messages("after", 10))
    data(sqlite_scene, "herald.email.db").chmod(0o444)

    refused = sqlite_scene.site.start_consumer("email")
    code = await asyncio.to_thread(refused.wait, 30)
    errors = errors_of(sqlite_scene)
    # A look at it, as the board takes one every few seconds, leaves nothing that the rights stick to.
    lag = await sqlite_scene.site.run(*sqlite_scene.site.program, "lag")
    asked = await sqlite_scene.site.http.get(f"{sqlite_scene.site.api}/api/v1/lag")
    left = sorted(path.name for path in data(sqlite_scene, ".").glob("herald.email.db-*"))
    assert len(sqlite_scene.mails.mails) == sent
    data(sqlite_scene, "herald.email.db").chmod(0o600)
    sqlite_scene.site.start_consumer("email")

    assert (code, lag.returncode, asked.status_code) == (1, 1, 503)
    assert [*errors, lag.stderr.strip()] == [f"Error: data/herald.email.db cannot be written: {RIGHTS}"] * 2
    assert asked.json()["detail"] == f"data/herald.email.db cannot be written: {RIGHTS}"
    assert left == []
    assert await sqlite_scene.mailed_all(ids("after", count=10)), sqlite_scene.site.output()


@pytest.mark.parametrize("what", ["herald.db", "."])
async def test_a_read_only_log_is_refused_at_the_start(sqlite_scene: Scene, what: str) -> None:
    bind_by_rights(sqlite_scene)
    await stopped_site(sqlite_scene)
    path = data(sqlite_scene, what)
    path.chmod(0o555 if path.is_dir() else 0o444)

    codes = [await ended(sqlite_scene, *command) for command in (("api",), ("consumer", "email"))]
    path.chmod(0o755 if path.is_dir() else 0o600)

    assert codes == [1, 1]
    assert errors_of(sqlite_scene) == [f"Error: data/herald.db cannot be written: {RIGHTS}"] * 2


async def ended(scene: Scene, *arguments: str) -> int:
    """The exit code of a process that ends by itself."""
    return await asyncio.to_thread(scene.site.start(*arguments).wait, 30)


# Damaged and exchanged ------------------------------------------------------------------------------


async def stopped_site(scene: Scene) -> None:
    """A log and a group's file that were in use, all closed."""
    for process in await working(scene):
        process.terminate()
        assert await asyncio.to_thread(process.wait, 25) == 0


def errors_of(scene: Scene) -> list[str]:
    """What an operator reads; a traceback would be no line of its own kind."""
    lines = scene.site.output().splitlines()
    assert not [line for line in lines if line.startswith(("Traceback", "  File"))]
    return [line for line in lines if line.startswith("Error: ")]


def content(path: Path) -> bytes:
    """All but the first page, which counts the file's changes."""
    return path.read_bytes()[4096:]


def is_no_database(path: Path) -> None:
    path.write_bytes(b"certainly no database" * 500)


def is_of_a_newer_herald(path: Path) -> None:
    rows(path, "PRAGMA user_version = 99")


def is_damaged(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    for at in range(4096, len(damaged), 4096):
        damaged[at : at + 2000] = random.Random(at).randbytes(2000)
    path.write_bytes(damaged)


def has_the_wal_of_another(path: Path) -> None:
    other = path.with_name("herald.db" if path.name != "herald.db" else "herald.email.db")
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE more (a)")
        shutil.copy(f"{other}-wal", f"{path}-wal")


FAULTS: dict[Callable[[Path], None], str] = {
    is_no_database: "is not a SQLite file: move it away, or set sqlite.path to another file",
    is_of_a_newer_herald: "has version 99 and this Herald knows",
    is_damaged: "is damaged: restore it from a backup, or move it away to begin a new one",
    has_the_wal_of_another: "of Herald: move it away, or set sqlite.path to another file",
}


REFUSED_STARTS = (
    ("herald.db", "api"),
    ("herald.db", "consumer email"),
    ("herald.email.db", "consumer email"),
)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_file_that_cannot_be_used_stops_the_start_with_one_line_and_is_left_as_it_is(
    sqlite_scene: Scene, fault: Callable[[Path], None]
) -> None:
    await stopped_site(sqlite_scene)
    whole = shutil.copytree(data(sqlite_scene, ""), sqlite_scene.site.folder / "whole")

    for name, command in REFUSED_STARTS:
        shutil.copytree(whole, data(sqlite_scene, ""), dirs_exist_ok=True)
        path = data(sqlite_scene, name)
        fault(path)
        before = content(path)
        said = len(errors_of(sqlite_scene))

        code = await ended(sqlite_scene, *command.split())
        [error] = errors_of(sqlite_scene)[said:]
        path.with_name(f"{name}-wal").unlink(missing_ok=True)
        path.with_name(f"{name}-shm").unlink(missing_ok=True)

        assert code == 1
        assert error.startswith(f"Error: data/{name} ")
        assert FAULTS[fault] in error
        assert content(path) == before


@pytest.mark.parametrize("name", ["herald.db", "herald.email.db", "herald.email.lock"])
async def test_a_file_that_is_deleted_while_in_use_ends_the_consumer_with_one_line(
    sqlite_scene: Scene, name: str
) -> None:
    _, consumer = await working(sqlite_scene)
    await sqlite_scene.post(messages("last", 1))
    data(sqlite_scene, name).unlink()

    code = await asyncio.to_thread(consumer.wait, 30)
    answer = await sqlite_scene.site.post(request_id="unseen", phone="")

    assert code == 1
    assert errors_of(sqlite_scene) == [
        f"Error: data/{name} was moved or deleted while in use: restart Herald"
    ]
    assert answer.status_code == (503 if name == "herald.db" else 202)


# The active one dies --------------------------------------------------------------------------------


async def test_the_standby_sends_within_two_seconds_of_the_active_ones_death(sqlite_scene: Scene) -> None:
    _, active = await working(sqlite_scene)
    standby = sqlite_scene.site.start("consumer", "email")
    assert await eventually(lambda: stands_by(sqlite_scene))

    kill(active)
    killed = time.monotonic()
    await sqlite_scene.post(messages("after", 20))
    sent = len(sqlite_scene.mails.mails)
    assert await sqlite_scene.mailed_count(sent + 1), sqlite_scene.site.output()
    seconds = time.monotonic() - killed
    assert await sqlite_scene.mailed_all(ids("after", count=20)), sqlite_scene.site.output()

    assert seconds < 2.0
    assert standby.poll() is None


async def stands_by(scene: Scene) -> bool:
    return bool(scene.logged("consumer-email", "stands_by"))
