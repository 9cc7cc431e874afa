"""`herald drill` as its user has it."""

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.faults.drilling import QUICK, drill, started
from tests.kafka.cluster import KafkaCluster
from tests.kafka.remote import RemoteControl

pytestmark = pytest.mark.timeout(300)


def files_in(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


def endings(logs: Path) -> set[str]:
    """The last word of each of Herald's processes that says it has stopped."""
    lines = [json.loads(line) for log in logs.iterdir() for line in log.read_text().splitlines()]
    return {line["message"] for line in lines if line["message"].endswith(" stopped")}


async def test_on_sqlite_everything_is_taken_down_and_nothing_is_lost_repeated_or_out_of_order(
    tmp_path: Path,
) -> None:
    ended = await drill(tmp_path, *QUICK, "--json")

    assert (ended.code, ended.worst) == (0, {"lost": 0, "out_of_order": 0, "beyond": 0}), ended
    assert [one["taken_down"] for one in ended.result["outages"]] == [
        "mail server down",
        "SMS provider down",
        "mail server busy",
        "SMS provider busy",
        "email consumer SIGKILL",
        "sms consumer SIGKILL",
        "email consumer SIGTERM",
        "sms consumer SIGTERM",
    ]
    assert min(one["produced"] for one in ended.result["channels"].values()) > 500
    assert files_in(tmp_path) == []


@pytest.mark.kafka
async def test_on_kafka_a_broker_is_taken_down_too_by_the_commands_that_were_given(
    tmp_path: Path, own_broker: KafkaCluster
) -> None:
    async with RemoteControl(own_broker) as remote:
        kafka = ("broker.backend=kafka", f"kafka.bootstrap_servers={own_broker.bootstrap_servers}")
        brokers = ("--broker-stop", remote.stop, "--broker-start", remote.start)
        ended = await drill(tmp_path, *QUICK, "--set", kafka[0], "--set", kafka[1], *brokers)

    assert (ended.code, remote.kills) == (0, 1), ended
    assert "Nothing lost, nothing out of order" in ended.out
    assert "broker stopped" in ended.out
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []


async def test_a_herald_that_delivers_nothing_is_told_of_in_one_line(tmp_path: Path) -> None:
    ended = await drill(tmp_path, "--consumer-program", f"{sys.executable} -c 'raise SystemExit(3)'")

    assert (ended.code, ended.out) == (1, "")
    # Both consumers end; whichever is seen first is named.
    names = {f"Error: consumer-{group} ended before it was ready" for group in ("email", "sms")}
    assert ended.err.splitlines()[-1] in names


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--broker-stop", "true"), "--broker-stop and --broker-start go together"),
        (("--broker-stop", "true", "--broker-start", "true"), "--broker-stop is for Kafka"),
        (("--minutes", "0"), "--minutes"),
    ],
)
async def test_wrong_usage_is_told_before_anything_starts(
    tmp_path: Path, arguments: tuple[str, ...], fault: str
) -> None:
    ended = await drill(tmp_path, *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert fault in ended.err


async def test_a_folder_that_holds_something_is_not_run_in(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    ended = await drill(tmp_path, "--keep", ".")

    assert (ended.code, files_in(tmp_path)) == (1, ["mine"])
    assert "is not empty" in ended.err


async def test_a_drill_that_is_stopped_ends_what_it_started_and_says_so(tmp_path: Path) -> None:
    process = await started(tmp_path, "--keep", "kept")
    assert process.stderr is not None
    while b"mail server down" not in await process.stderr.readline():
        assert not process.stderr.at_eof()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()

    assert (process.returncode, out) == (1, b"")
    assert err.decode().splitlines()[-1] == "Error: the drill was stopped before its end"
    assert endings(tmp_path / "kept" / "logs") == {"API stopped", "Consumer stopped"}
