"""GET /api/v1/messages/{request_id} and /api/v1/lag over the log in memory."""

import json
from typing import Any

import pytest

from adapters.memory_broker import NoteLog
from application.status import status_answer
from domain.ledger import Deferral, LedgerRecord, State
from domain.log import Position, Record, Shard
from domain.status import MessageStatus
from tests.api_parts import TOPICS, VALID, MemoryApi, shared_api

SHARD = Shard("transactions", 3)


@pytest.fixture
def api() -> MemoryApi:
    return shared_api(hot=True)


@pytest.fixture
def guarded() -> MemoryApi:
    return shared_api(hot=True, guarded=True)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def sent(api: MemoryApi, group: str, request_id: str, offset: int) -> None:
    note = LedgerRecord(
        offset=offset,
        request_id=request_id,
        digest=1,
        state=State.SENT,
        provider_id="queued as 7",
        low=0,
        at=1_800_000_060.5,
    )
    api.broker.ledgers.setdefault((group, SHARD), NoteLog()).append(note)


async def problem(api: MemoryApi, path: str, **headers: str) -> tuple[int, str]:
    response = await api.ask("GET", path, headers=headers)
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("urn:herald:problem:")


# Status ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "told"),
    [
        (1_800_000_000_000.0, "9999-12-31T23:59:59.000Z"),  # microseconds taken for milliseconds
        (-0.001, "1969-12-31T23:59:59.999Z"),  # Kafka's "no time"
    ],
)
def test_a_time_that_another_producer_made_up_is_told_as_far_as_a_date_can(
    accepted: float, told: str
) -> None:
    status = MessageStatus(
        request_id="r-1",
        topic_name="transactions",
        partition=0,
        offset=0,
        accepted_at=accepted,
        deliveries={},
        as_of=1_800_000_000.0,
    )

    assert status_answer(status)["accepted_at"] == told


async def test_a_story_is_the_status_with_each_step(api: MemoryApi) -> None:
    accepted = await api.post_fields(request_id="r-1", partition=3)
    sent(api, "email", "r-1", 0)

    status = await api.ask("GET", accepted.headers["location"])
    response = await api.ask("GET", f"{accepted.headers['location']}/story?topic_name=transactions")

    nothing = {"reason": None, "provider_id": None, "due_at": None, "dead_letter": None}
    step = {"attempts": 0, "uncertain_attempts": 0, **nothing}
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {
        **status.json(),
        "story": [
            {**step, "at": "2027-01-15T08:00:00.000Z", "group": None, "event": "accepted"},
            {
                **step,
                "at": "2027-01-15T08:01:00.500Z",
                "group": "email",
                "event": "sent",
                "attempts": 1,
                "provider_id": "queued as 7",
            },
        ],
    }


async def test_a_story_is_told_to_whom_a_status_is_told(guarded: MemoryApi) -> None:
    await guarded.post_fields(request_id="r-1")
    body = json.dumps({**VALID, "request_id": "r-2", "topic_name": "refunds"}).encode()
    await guarded.post(body, **bearer("all"))
    path = "/api/v1/messages/r-2/story"

    assert await problem(guarded, path, **bearer("shop")) == (404, "not-found")
    assert await problem(guarded, f"{path}?topic_name=refunds", **bearer("shop")) == (403, "forbidden")
    assert await problem(guarded, f"{path}?topic_name=none", **bearer("all")) == (404, "unknown-topic")
    assert await problem(guarded, path) == (401, "unauthorized")
    assert (await guarded.ask("HEAD", path, headers=bearer("all"))).status_code == 200
    guarded.broker.down = True
    assert await problem(guarded, path, **bearer("all")) == (503, "log-unavailable")


async def test_what_became_of_a_message_is_told_for_each_group(api: MemoryApi) -> None:
    accepted = await api.post_fields(request_id="r-1", partition=3)
    sent(api, "email", "r-1", 0)

    response = await api.ask("GET", accepted.headers["location"])

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {
        "request_id": "r-1",
        "topic_name": "transactions",
        "partition": 3,
        "offset": 0,
        "accepted_at": "2027-01-15T08:00:00.000Z",
        "as_of": "2027-01-15T08:00:00.000Z",
        "deliveries": {
            "email": {
                "state": "sent",
                "attempts": 1,
                "uncertain_attempts": 0,
                "reason": None,
                "updated_at": "2027-01-15T08:01:00.500Z",
                "provider_id": "queued as 7",
            },
            "sms": {
                "state": "accepted",
                "attempts": 0,
                "uncertain_attempts": 0,
                "reason": None,
                "updated_at": "2027-01-15T08:00:00.000Z",
                "provider_id": None,
            },
        },
    }


async def test_an_id_that_is_not_known_may_be_asked_for_again_soon(api: MemoryApi) -> None:
    response = await api.ask("GET", "/api/v1/messages/r-1")

    assert response.status_code == 404
    assert response.headers["retry-after"] == "1"
    assert response.json()["type"] == "urn:herald:problem:not-found"


async def test_a_topic_may_be_named(api: MemoryApi) -> None:
    await api.post_fields(request_id="r-1")
    await api.post_fields(request_id="r-1", topic_name="refunds")

    async def topic_of(query: str) -> Any:
        return (await api.ask("GET", f"/api/v1/messages/r-1{query}")).json()["topic_name"]

    assert await topic_of("?topic_name=transactions") == "transactions"
    assert await topic_of("?topic_name=refunds") == "refunds"
    assert await topic_of("?topic_name=") in TOPICS


async def test_a_topic_that_is_not_configured_is_said_to_be_so(api: MemoryApi) -> None:
    assert await problem(api, "/api/v1/messages/r-1?topic_name=nonsense") == (404, "unknown-topic")


async def test_while_the_log_does_not_answer_a_status_is_unavailable(api: MemoryApi) -> None:
    api.broker.down = True

    response = await api.ask("GET", "/api/v1/messages/r-1")

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["type"] == "urn:herald:problem:log-unavailable"


async def test_a_key_sees_nothing_of_another_topic_s_message(guarded: MemoryApi) -> None:
    await guarded.post_batch_body(
        b'[{"topic_name": "refunds", "request_id": "r-1", "email": "ada@example.com"}]', **bearer("all")
    )

    path = "/api/v1/messages/r-1"
    assert await problem(guarded, path, **bearer("shop")) == (404, "not-found")
    assert await problem(guarded, f"{path}?topic_name=refunds", **bearer("shop")) == (403, "forbidden")
    assert await problem(guarded, f"{path}?topic_name=none", **bearer("shop")) == (403, "forbidden")
    assert await problem(guarded, path) == (401, "unauthorized")
    assert (await guarded.ask("GET", path, headers=bearer("all"))).status_code == 200


# Lag ------------------------------------------------------------------------------------------------


async def lags_of(api: MemoryApi, **headers: str) -> list[dict[str, Any]]:
    response = await api.ask("GET", "/api/v1/lag", headers=headers)
    assert response.status_code == 200
    found: list[dict[str, Any]] = response.json()["lag"]
    return found


def of_group(lags: list[dict[str, Any]], group: str) -> dict[str, Any]:
    [lag] = [one for one in lags if (one["group"], one["topic"], one["partition"]) == (group, *place())]
    return lag


def place() -> tuple[str, int]:
    return SHARD.topic, SHARD.partition


async def test_the_lag_of_each_group_in_each_partition_is_told(api: MemoryApi) -> None:
    for number in range(3):
        await api.post_fields(request_id=f"r-{number}", partition=3)
    api.clock.time += 90.0
    api.broker.positions["email", SHARD] = Position(2, "1 0 0")

    lags = await lags_of(api)

    assert of_group(lags, "email") == {
        "group": "email",
        "topic": "transactions",
        "partition": 3,
        "end": 3,
        "committed": 2,
        "lag": 1,
        "deferred": 0,
        "oldest_unfinished_seconds": 90.0,
    }
    assert [(one["group"], one["topic"]) for one in lags] == [
        *[("email", "transactions")] * 6,
        ("email", "refunds"),
        *[("sms", "transactions")] * 6,
    ]


async def test_a_group_that_never_committed_lags_by_all_that_there_is(api: MemoryApi) -> None:
    for number in range(3):
        await api.post_fields(request_id=f"r-{number}", partition=3)
    api.broker.forget(SHARD, 1)

    lag = of_group(await lags_of(api), "sms")

    assert (lag["end"], lag["committed"], lag["lag"]) == (3, None, 2)


async def test_what_is_put_off_counts_beside_the_lag_and_may_be_the_oldest(api: MemoryApi) -> None:
    await api.post_fields(request_id="r-0", partition=3)
    api.broker.positions["email", SHARD] = Position(1, "1 0 0")
    record = Record(SHARD, 0, b"k", b"{}", (), api.clock.now() - 5.0)
    api.broker.deferrals["email", SHARD] = NoteLog()
    api.broker.deferrals["email", SHARD].append(Deferral(record=record))

    lag = of_group(await lags_of(api), "email")

    assert (lag["lag"], lag["deferred"], lag["oldest_unfinished_seconds"]) == (0, 1, 5.0)


async def test_deferrals_are_read_from_where_the_commit_s_note_says(api: MemoryApi) -> None:
    notes = api.broker.deferrals["email", SHARD] = NoteLog()
    for offset in (0, 1):
        notes.append(Deferral(record=Record(SHARD, offset, b"k", b"{}", (), 0.0)))
    api.broker.positions["email", SHARD] = Position(0, "1 0 1")

    assert of_group(await lags_of(api), "email")["deferred"] == 1


async def test_a_position_of_a_newer_herald_is_no_lag_that_could_be_told(api: MemoryApi) -> None:
    api.broker.positions["email", SHARD] = Position(0, "2 anything")

    assert await problem(api, "/api/v1/lag") == (503, "log-unavailable")


async def test_while_the_log_does_not_answer_the_lag_is_unavailable(api: MemoryApi) -> None:
    api.broker.down = True

    assert await problem(api, "/api/v1/lag") == (503, "log-unavailable")


async def test_a_key_sees_the_lag_of_its_topics(guarded: MemoryApi) -> None:
    lags = await lags_of(guarded, **bearer("shop"))

    assert {one["topic"] for one in lags} == {VALID["topic_name"]}
