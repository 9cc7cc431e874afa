"""`herald doctor` beside real processes, over both logs; and what only a real broker can tell it."""

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_probe import KafkaProbe
from domain.diagnosis import FindingState
from domain.topic import Topic
from tests.free_ports import free_ports
from tests.site import HERALD, Site, eventually

TOPIC = Topic(name="orders", partitions=1)


async def examine(site: Site) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Exit code, and the findings by name."""
    command = [*HERALD, "doctor", "--json"]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=site.folder,
        env=site.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b""
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["name"], []).append(finding)
    return done.returncode, found


def states(found: dict[str, list[dict[str, Any]]]) -> dict[str, set[str]]:
    return {name: {one["state"] for one in findings} for name, findings in found.items()}


async def test_a_herald_that_works_is_well_and_each_part_that_is_down_is_wrong(any_site: Site) -> None:
    on_kafka = "HERALD_KAFKA__BOOTSTRAP_SERVERS" in any_site.environ
    await any_site.start_all()
    await any_site.post_many(3)
    assert await any_site.arrived(3, 3)

    async def told_that_they_work() -> bool:
        """A process tells every few seconds, the first time before it has joined."""
        return states((await examine(any_site))[1])["consumers email"] == {"ok"}

    assert await eventually(told_that_they_work)
    code, well = await examine(any_site)
    await any_site.outage(email="down", sms="busy")
    await any_site.post(request_id="held-up")
    assert await any_site.metric_reaches("email", "herald_channel_up", 0, at_most=True)
    texts = any_site.running[-1]
    texts.terminate()
    await asyncio.to_thread(texts.wait, 30)
    worse_code, worse = await examine(any_site)

    assert {name: found for name, found in states(well).items() if found != {"ok"}} == (
        {"topics": {"warning"}} if on_kafka else {}  # the tests' Kafka has one broker, so one copy of each
    )
    assert (code, worse_code) == (0, 1)
    assert {name for name, found in states(worse).items() if "wrong" in found} == {
        "channel email",
        "consumers sms",
        "mail server",
        "sms provider",
    }
    assert well["consumers email"][0]["says"].startswith("1 process: ")
    assert "connecting: " in worse["channel email"][0]["says"]
    assert worse["consumers sms"][0]["remedy"] == "start 'herald consumer sms'"
    assert "HTTP 429" in worse["sms provider"][0]["says"]


async def test_nothing_is_made_where_nothing_is(sqlite_site: Site) -> None:
    code, found = await examine(sqlite_site)

    assert code == 1
    assert found["log"][0]["says"].startswith("no log yet at ")
    assert states(found)["topics"] == {"unknown"}
    assert [path.name for path in await asyncio.to_thread(lambda: list(sqlite_site.folder.iterdir()))] == []


@pytest.mark.kafka
async def test_a_broker_tells_its_release_and_an_address_beside_it_that_is_down_is_a_warning(
    kafka_address: str,
) -> None:
    [closed] = free_ports(1)
    connection = KafkaConnection(bootstrap_servers=f"{kafka_address},127.0.0.1:{closed}")

    well, silent = (await KafkaProbe(connection, [TOPIC], seconds=10).look()).findings

    assert (well.state, silent.state) == (FindingState.OK, FindingState.WARNING)
    assert "1 broker, controller 1, " in well.says
    assert "Kafka 4." in well.says
    assert silent.says == f"127.0.0.1:{closed}: the connection is refused"


@pytest.mark.kafka
async def test_topics_that_are_missing_are_wrong_and_not_made(kafka_site: Site) -> None:
    kafka_site.environ["HERALD_KAFKA__GROUP_PREFIX"] = f"doctor-{uuid4().hex[:8]}-"

    code, found = await examine(kafka_site)
    again_code, again = await examine(kafka_site)

    assert (code, again_code) == (1, 1)
    assert found["log"][0]["state"] == "ok"
    assert found["topics"] == again["topics"]
    assert found["topics"][0]["remedy"] == "run 'herald topics apply'"


def test_watching_ends_with_its_reader_and_with_ctrl_c(tmp_path: Path) -> None:
    environ = {**os.environ, "HERALD_SQLITE__PATH": str(tmp_path / "herald.db")}
    subprocess.run([*HERALD, "topics", "apply"], cwd=tmp_path, env=environ, check=True, capture_output=True)
    command = [*HERALD, "lag", "--watch", "--json"]
    pipe = subprocess.PIPE

    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=pipe, stderr=pipe) as read_on:
        assert read_on.stdout is not None
        first = json.loads(read_on.stdout.readline())
        read_on.send_signal(signal.SIGINT)
        _, said = read_on.communicate(timeout=30)
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=pipe, stderr=pipe) as left_alone:
        assert left_alone.stdout is not None
        left_alone.stdout.readline()
        left_alone.stdout.close()
        code = left_alone.wait(30)
        assert left_alone.stderr is not None
        complaint = left_alone.stderr.read()

    assert len(first["lag"]) == 12
    assert (read_on.returncode, said) == (0, b"")
    assert (code, complaint) == (1, b"")
