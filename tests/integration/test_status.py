"""What became of messages and how far groups are behind, over each log with whole processes."""

import asyncio
import fcntl
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.site import HERALD, Site, eventually

QUICK = {"HERALD_DELIVERY__FIRST_RETRY_SECONDS": "0.2", "HERALD_DELIVERY__MAX_RETRY_SECONDS": "0.5"}


async def ask(site: Site, request_id: str, **query: str) -> httpx.Response:
    return await site.http.get(f"{site.api}/api/v1/messages/{request_id}", params=query)


async def states(site: Site, request_id: str) -> dict[str, str]:
    answer = await ask(site, request_id)
    if answer.status_code != 200:
        return {}
    return {group: one["state"] for group, one in answer.json()["deliveries"].items()}


async def comes_to(site: Site, request_id: str, **expected: str) -> bool:
    async def is_so() -> bool:
        return (await states(site, request_id)).items() >= expected.items()

    return await eventually(is_so, 60.0)


async def started(site: Site, *commands: str, **environ: str) -> None:
    for command in commands:
        site.start(command, **environ)
    assert await site.ready(), site.output()


async def consuming(site: Site, **environ: str) -> None:
    for group in site.health_ports:
        site.start_consumer(group, **environ)
    for group in site.health_ports:
        assert await site.consumer_ready(group), site.output()


def herald(site: Site, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*HERALD, *arguments],
        cwd=site.folder,
        env=site.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def lags(site: Site) -> list[dict[str, Any]]:
    answer = await site.http.get(f"{site.api}/api/v1/lag")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["lag"]
    return found


async def sum_of_lags(site: Site) -> int:
    return sum(lag["lag"] for lag in await lags(site))


async def test_a_message_is_followed_from_the_log_to_both_providers(any_site: Site) -> None:
    await started(any_site, "api", "inbox")
    accepted = await any_site.post(request_id="order-1")
    assert await comes_to(any_site, "order-1", email="accepted", sms="accepted")
    waiting = await lags(any_site)

    await consuming(any_site)
    assert await comes_to(any_site, "order-1", email="sent", sms="sent"), any_site.output()

    answer = await any_site.http.get(f"{any_site.api}{accepted.headers['location']}")
    told = answer.json()
    where = {name: told[name] for name in ("request_id", "topic_name", "partition", "offset")}
    assert where == accepted.json()
    assert {one["attempts"] for one in told["deliveries"].values()} == {1}
    assert told["deliveries"]["sms"]["provider_id"].startswith("SM")
    age = datetime.now(UTC) - datetime.fromisoformat(told["as_of"])
    assert timedelta(seconds=-0.1) <= age <= timedelta(seconds=4)
    assert sum(lag["lag"] for lag in waiting) == 2
    assert max(lag["oldest_unfinished_seconds"] for lag in waiting) > 0

    async def is_finished() -> bool:
        return await sum_of_lags(any_site) == 0

    assert await eventually(is_finished)


async def test_retried_dead_expired_and_skipped_messages_are_told_apart(any_site: Site) -> None:
    await started(any_site, "api", "inbox")
    await any_site.outage(email="busy", sms="reject")
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    await any_site.post(request_id="late", expires_at=long_ago)
    await any_site.post(request_id="busy")
    await any_site.post(request_id="mail-only", phone=None)
    await consuming(any_site, **QUICK)

    assert await comes_to(any_site, "late", email="expired", sms="expired")
    assert await comes_to(any_site, "busy", email="retrying", sms="dead")
    assert await comes_to(any_site, "mail-only", sms="skipped")
    told = (await ask(any_site, "busy")).json()["deliveries"]
    assert (told["sms"]["reason"], told["email"]["attempts"] >= 1) == ("refused", True)

    await any_site.outage(email="up")
    assert await comes_to(any_site, "busy", email="sent", sms="dead")


async def test_another_message_under_the_same_id_leaves_the_first_one_s_status(any_site: Site) -> None:
    await any_site.start_all()
    await any_site.post(request_id="order-1")
    assert await comes_to(any_site, "order-1", email="sent", sms="sent")
    first = (await ask(any_site, "order-1")).json()

    await any_site.post(request_id="order-1", message_body="another")
    await any_site.post(request_id="order-2")
    assert await comes_to(any_site, "order-2", email="sent", sms="sent")

    second = (await ask(any_site, "order-1")).json()
    assert {**second, "as_of": ""} == {**first, "as_of": ""}


async def test_an_id_that_is_not_known_is_404_and_may_be_asked_for_soon(any_site: Site) -> None:
    await started(any_site, "api")

    async def is_not_known() -> bool:
        return (await ask(any_site, "nobody")).status_code == 404

    assert await eventually(is_not_known)
    answer = await ask(any_site, "nobody", topic_name=any_site.topic)
    assert (answer.status_code, answer.headers["retry-after"]) == (404, "1")


async def test_the_commands_read_the_log_with_everything_down(any_site: Site) -> None:
    await any_site.start_all()
    await any_site.post(request_id="order-1")
    await any_site.post(request_id="order-2", key="a key that leads elsewhere")
    assert await comes_to(any_site, "order-2", email="sent", sms="sent")
    assert await comes_to(any_site, "order-1", email="sent", sms="sent")
    over_http = (await ask(any_site, "order-1")).json()
    await any_site.close()

    code, out, err = herald(any_site, "status", "order-1", "--json")
    keyed, shown, _ = herald(any_site, "status", "order-2")
    unknown = herald(any_site, "status", "order-3")
    lag = herald(any_site, "lag", "--json")

    assert (code, err) == (0, ""), err
    assert {**json.loads(out), "as_of": ""} == {**over_http, "as_of": ""}
    assert (keyed, shown.count("sent")) == (0, 2)
    assert unknown[0] == 1
    assert unknown[2].splitlines()[-1].startswith("Error: no message order-3 is known in ")
    assert sum(one["lag"] for one in json.loads(lag[1])["lag"]) == 0


# The view beside Kafka ------------------------------------------------------------------------------


@pytest.mark.kafka
async def test_with_the_view_off_a_status_is_503_and_the_command_still_finds_it(kafka_site: Site) -> None:
    await started(kafka_site, "api", HERALD_STATUS__HOURS="0")
    await kafka_site.post(request_id="order-1")

    answer = await ask(kafka_site, "order-1")
    code, out, _ = herald(kafka_site, "status", "order-1", "--json")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "status.hours" in answer.json()["detail"]
    assert (code, json.loads(out)["deliveries"]["email"]["state"]) == (0, "accepted")


@pytest.mark.kafka
async def test_several_workers_answer_from_one_view(kafka_site: Site) -> None:
    await started(kafka_site, "api", HERALD_API__WORKERS="2")
    await kafka_site.post(request_id="order-1")
    assert await comes_to(kafka_site, "order-1", email="accepted", sms="accepted")

    answers = await asyncio.gather(*(_once(kafka_site.api) for _ in range(20)))

    assert set(answers) == {200}
    views = [path.name for path in (kafka_site.folder / "logs").glob("herald-api-status*.log")]
    assert views == ["herald-api-status.log"]


async def _once(api: str) -> int:
    """Over a connection of its own, so that any of the workers may get it."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{api}/api/v1/messages/order-1")).status_code


@pytest.mark.kafka
async def test_the_view_ends_with_its_api_and_is_built_again_by_the_next(kafka_site: Site) -> None:
    await started(kafka_site, "api")
    await kafka_site.post(request_id="order-1")
    assert await comes_to(kafka_site, "order-1", email="accepted")
    kafka_site.running[-1].kill()
    kafka_site.running[-1].wait()
    log = kafka_site.folder / "logs" / "herald-api-status.log"

    async def has_ended() -> bool:
        return await asyncio.to_thread(_is_free, log)

    assert await eventually(has_ended, 10.0)
    await started(kafka_site, "api")
    assert await comes_to(kafka_site, "order-1", email="accepted")


def _is_free(log: Path) -> bool:
    """Whether no process writes that log any more: each holds a lock beside it."""
    with log.with_name(f".{log.name}.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
