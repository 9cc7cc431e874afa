import itertools
import json
from typing import Any

import pytest

from application.counts import ProduceCounts
from domain.log import Shard
from entrypoints.foreign_pages import may_be_rebound
from entrypoints.metrics import render_produce_metrics
from tests.api_parts import VALID, MemoryApi, shared_api

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PAGES = [
    "/api/v1/topics",
    "/metrics",
    "/schema/openapi.json",
    "/schema/asyncapi.json",
    "/docs",
    "/docs/openapi-3.0.json",
]


@pytest.fixture(params=[True, False], ids=["hot path", "Litestar route"])
def api(request: pytest.FixtureRequest) -> MemoryApi:
    return shared_api(hot=request.param)


@pytest.fixture(params=[True, False], ids=["hot path", "Litestar route"])
def guarded(request: pytest.FixtureRequest) -> MemoryApi:
    return shared_api(hot=request.param, guarded=True)


async def test_a_message_is_taken_and_its_place_in_the_log_told(api: MemoryApi) -> None:
    response = await api.post_fields(request_id="r-1", partition=3)

    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.headers["location"] == "/api/v1/messages/r-1"
    assert response.json() == {
        "request_id": "r-1",
        "topic_name": "transactions",
        "partition": 3,
        "offset": 0,
    }


async def test_what_was_posted_is_in_the_log(api: MemoryApi) -> None:
    await api.post_fields(request_id="r-1", partition=3, key="k", message_body="Zürich\n")

    (record,) = api.records()
    assert (record.shard, record.key) == (Shard("transactions", 3), b"k")
    assert json.loads(record.value or b"") == {
        **VALID,
        "request_id": "r-1",
        "key": "k",
        "message_body": "Zürich\n",
    }


async def test_an_id_is_made_where_none_is_given(api: MemoryApi) -> None:
    response = await api.post_fields()

    (record,) = api.records()
    assert json.loads(record.value or b"")["request_id"] == response.json()["request_id"]


async def test_a_clients_trace_goes_along(api: MemoryApi) -> None:
    await api.post(json.dumps(VALID).encode(), traceparent=TRACEPARENT)

    assert dict(api.records()[0].headers)["traceparent"] == TRACEPARENT.encode()


async def test_a_log_that_does_not_confirm_is_told_with_the_id_to_send_again(api: MemoryApi) -> None:
    api.broker.loses_answers = True
    response = await api.post_fields(request_id="r-1")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "urn:herald:problem:log-unavailable",
        "title": "The log did not confirm",
        "status": 503,
        "detail": "It may be in the log or not (the answer was lost). Send it again with this request_id, "
        "otherwise unchanged.",
        "request_id": "r-1",
    }


async def test_an_id_that_was_made_is_told_too_when_the_log_does_not_confirm(api: MemoryApi) -> None:
    api.broker.loses_answers = True
    response = await api.post_fields()

    (record,) = api.records()
    assert response.json()["request_id"] == json.loads(record.value or b"")["request_id"]


async def test_a_log_that_is_down_takes_nothing(api: MemoryApi) -> None:
    api.broker.down = True
    response = await api.post_fields()

    assert (response.status_code, api.records()) == (503, [])


# Batches --------------------------------------------------------------------------------------------


async def test_a_batch_is_taken_whole(api: MemoryApi) -> None:
    response = await api.post_batch([{**VALID, "request_id": f"r{n}", "partition": n % 2} for n in range(4)])

    places = [("r0", 0, 0), ("r1", 1, 0), ("r2", 0, 1), ("r3", 1, 1)]
    assert response.status_code == 202
    assert response.json() == {
        "accepted": 4,
        "rejected": 0,
        "results": [
            {"request_id": name, "topic_name": "transactions", "partition": partition, "offset": offset}
            for name, partition, offset in places
        ],
    }


async def test_lines_are_a_batch_too_and_blank_ones_are_passed_over(api: MemoryApi) -> None:
    line = json.dumps(VALID).encode()
    response = await api.post_batch_body(
        b"\n" + line + b"\r\n\r\n  \n" + line + b"\n", "application/x-ndjson; charset=utf-8"
    )

    assert (response.status_code, response.json()["accepted"]) == (202, 2)


async def test_each_item_of_a_batch_stands_for_itself(api: MemoryApi) -> None:
    response = await api.post_batch(
        [
            {**VALID, "request_id": "r0", "partition": 0},
            {**VALID, "request_id": "r1", "email": "nobody"},
            {**VALID, "request_id": "r2", "topic_name": "payments"},
            {**VALID, "request_id": "r3", "partition": 6},
            {**VALID, "topic_name": "payments"},
            5,
        ]
    )

    results = response.json()["results"]
    assert (response.status_code, len(api.records())) == (207, 1)
    assert (response.json()["accepted"], response.json()["rejected"]) == (1, 5)
    assert results[0] == {"request_id": "r0", "topic_name": "transactions", "partition": 0, "offset": 0}
    assert [result["request_id"] for result in results[1:]] == ["r1", "r2", "r3", None, None]
    assert [result["error"]["type"].removeprefix("urn:herald:problem:") for result in results[1:]] == [
        "invalid-message",
        "unknown-topic",
        "invalid-message",
        "unknown-topic",
        "invalid-message",
    ]
    assert results[1]["error"]["errors"][0]["pointer"] == "#/email"
    assert results[3]["error"]["errors"] == [{"pointer": "#/partition", "detail": "must be 0 to 5"}]


async def test_a_line_that_is_not_json_harms_no_other(api: MemoryApi) -> None:
    body = b'{"request_id":"r1"\n' + json.dumps({**VALID, "request_id": "r2"}).encode()
    response = await api.post_batch_body(body, "application/x-ndjson")

    first, second = response.json()["results"]
    assert response.status_code == 207
    assert first["request_id"] is None
    assert first["error"]["type"] == "urn:herald:problem:not-json"
    assert second["request_id"] == "r2"


async def test_a_batch_of_which_none_could_be_taken_is_400(api: MemoryApi) -> None:
    response = await api.post_batch([{}, {**VALID, "topic_name": "payments"}])

    assert (response.status_code, response.json()["rejected"]) == (400, 2)


async def test_a_batch_of_which_the_log_confirmed_none_is_503_with_the_ids(api: MemoryApi) -> None:
    api.broker.loses_answers = True
    response = await api.post_batch([VALID, {**VALID, "request_id": "r2"}, {}])

    results = response.json()["results"]
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert [result["error"]["status"] for result in results] == [503, 503, 400]
    assert results[0]["request_id"] == results[0]["error"]["request_id"]
    assert results[1]["request_id"] == "r2"


async def test_a_long_batch_is_decoded_in_turns(api: MemoryApi) -> None:
    items = [{**VALID, "topic_name": "refunds"}] * 1_000
    response = await api.post_batch(items)

    assert response.status_code == 202
    assert [result["offset"] for result in response.json()["results"]] == list(range(1_000))


# Keys -----------------------------------------------------------------------------------------------


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"authorization": "Basic c2hvcDpzaG9w"}], ids=str)
async def test_a_stranger_is_told_what_is_asked_for(guarded: MemoryApi, headers: dict[str, str]) -> None:
    response = await guarded.post(json.dumps(VALID).encode(), **headers)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["type"] == "urn:herald:problem:unauthorized"
    assert guarded.records() == []


async def test_a_strangers_body_is_not_read(guarded: MemoryApi) -> None:
    status, _, _ = await guarded.raw([], [(b"content-type", b"application/json")])

    assert status == 401


async def test_a_key_writes_to_its_topics(guarded: MemoryApi) -> None:
    response = await guarded.post(json.dumps(VALID).encode(), **bearer("shop"))

    assert response.status_code == 202


@pytest.mark.parametrize("topic", ["refunds", "no-such-topic"])
async def test_a_key_does_not_write_to_other_topics_nor_learn_which_there_are(
    guarded: MemoryApi, topic: str
) -> None:
    body = json.dumps({**VALID, "topic_name": topic}).encode()
    response = await guarded.post(body, **bearer("shop"))

    assert response.status_code == 403
    assert response.json()["type"] == "urn:herald:problem:forbidden"
    assert guarded.records() == []


async def test_a_key_does_not_learn_how_many_partitions_another_topic_has(guarded: MemoryApi) -> None:
    body = json.dumps({"topic_name": "refunds", "partition": 99}).encode()
    response = await guarded.post(body, **bearer("shop"))

    assert [error["pointer"] for error in response.json()["errors"]] == ["#"]


async def test_a_key_for_all_topics_writes_to_every_one(guarded: MemoryApi) -> None:
    body = json.dumps({**VALID, "topic_name": "refunds"}).encode()

    assert (await guarded.post(body, **bearer("all"))).status_code == 202


async def test_in_a_batch_each_message_needs_its_topics_grant(guarded: MemoryApi) -> None:
    items = [VALID, {**VALID, "topic_name": "refunds", "request_id": "r2"}]
    response = await guarded.post_batch_body(json.dumps(items).encode(), **bearer("shop"))

    results = response.json()["results"]
    assert (response.status_code, len(guarded.records())) == (207, 1)
    assert (results[1]["request_id"], results[1]["error"]["status"]) == ("r2", 403)


async def test_a_stranger_sees_nothing_but_health(guarded: MemoryApi) -> None:
    paths = [*PAGES, "/", "/no-such-page", "/api/v1/produce", "/health", "/healthy"]
    methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST"]
    statuses = {
        (await guarded.ask(method, path)).status_code for path, method in itertools.product(paths, methods)
    }

    assert statuses == {401}


async def test_a_trailing_slash_is_no_way_around_the_keys(guarded: MemoryApi) -> None:
    body = json.dumps(VALID).encode()
    response = await guarded.ask("POST", "/api/v1/produce/", body, {"content-type": "application/json"})

    assert (response.status_code, guarded.records()) == (401, [])


@pytest.mark.parametrize(
    "path", ["/health/../metrics", "/health/%2e%2e/metrics", "/health//metrics", "/health/"]
)
async def test_a_path_through_health_leads_nowhere(guarded: MemoryApi, path: str) -> None:
    status, _, _ = await guarded.raw([], [], path=path, method="GET")

    assert status == 404


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_is_open_to_all(guarded: MemoryApi, path: str) -> None:
    assert (await guarded.ask("GET", path)).status_code == 200


@pytest.mark.parametrize("path", PAGES)
async def test_a_key_opens_every_page(guarded: MemoryApi, path: str) -> None:
    assert (await guarded.ask("GET", path, headers=bearer("shop"))).status_code == 200


# Other paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/v2/produce", "/api/v1/messages", "/api/v1/produce/x", "/%ff"]
)
async def test_an_unknown_path_is_a_problem(api: MemoryApi, path: str) -> None:
    response = await api.ask("POST", path)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:herald:problem:not-found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/produce", "OPTIONS, POST"),
        ("HEAD", "/api/v1/produce", "OPTIONS, POST"),
        ("PUT", "/api/v1/produce", "OPTIONS, POST"),
        ("DELETE", "/api/v1/produce/batch", "OPTIONS, POST"),
        ("BREW", "/api/v1/produce", "OPTIONS, POST"),
        ("POST", "/api/v1/topics", "GET, HEAD, OPTIONS"),
        ("PATCH", "/health/live", "GET, HEAD, OPTIONS"),
    ],
)
async def test_another_method_is_told_the_allowed_ones(
    api: MemoryApi, method: str, path: str, allowed: str
) -> None:
    response = await api.ask(method, path)

    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_problem_says_which_methods_are_allowed(api: MemoryApi) -> None:
    response = await api.ask("GET", "/api/v1/produce")

    assert response.json() == {
        "type": "urn:herald:problem:method-not-allowed",
        "title": "The method is not allowed here",
        "status": 405,
        "detail": "Allowed here: OPTIONS, POST.",
    }


@pytest.mark.parametrize(
    ("path", "allowed"), [("/api/v1/produce", {"POST", "OPTIONS"}), ("/metrics", {"GET", "HEAD", "OPTIONS"})]
)
async def test_options_tells_the_methods(api: MemoryApi, path: str, allowed: set[str]) -> None:
    response = await api.ask("OPTIONS", path)

    assert response.status_code == 204
    assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", [*PAGES, "/health/live", "/health/ready"])
async def test_head_tells_what_get_would(api: MemoryApi, path: str) -> None:
    got = await api.ask("GET", path)
    head = await api.ask("HEAD", path)

    assert head.status_code == got.status_code
    assert dict(head.headers) == dict(got.headers)


async def test_a_websocket_is_turned_away(api: MemoryApi) -> None:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "websocket",
        "path": "/api/v1/produce",
        "headers": [],
        "query_string": b"",
        "scheme": "ws",
    }

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await api.app(scope, receive, send)

    assert [message["type"] for message in sent] == ["websocket.close"]


# Pages ----------------------------------------------------------------------------------------------


async def test_the_topics_are_listed(api: MemoryApi) -> None:
    response = await api.ask("GET", "/api/v1/topics")

    assert response.json() == {
        "topics": [
            {"name": "transactions", "partitions": 6, "replication_factor": 0, "groups": ["email", "sms"]},
            {"name": "refunds", "partitions": 1, "replication_factor": 0, "groups": ["email"]},
        ]
    }


async def test_a_key_sees_its_own_topics_alone(guarded: MemoryApi) -> None:
    shop = await guarded.ask("GET", "/api/v1/topics", headers=bearer("shop"))
    everything = await guarded.ask("GET", "/api/v1/topics", headers=bearer("all"))
    nobody = await guarded.ask("GET", "/api/v1/topics")

    assert [topic["name"] for topic in shop.json()["topics"]] == ["transactions"]
    assert [topic["name"] for topic in everything.json()["topics"]] == ["transactions", "refunds"]
    assert nobody.status_code == 401


async def test_topics_that_the_log_does_not_tell_are_503(api: MemoryApi) -> None:
    api.broker.down = True
    response = await api.ask("GET", "/api/v1/topics")

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["type"] == "urn:herald:problem:log-unavailable"


async def test_the_api_is_ready_while_the_log_answers(api: MemoryApi) -> None:
    ready = await api.ask("GET", "/health/ready")
    api.broker.down = True
    unready = await api.ask("GET", "/health/ready")
    live = await api.ask("GET", "/health/live")

    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    assert (unready.status_code, unready.json()["detail"]) == (503, "the log does not answer")
    assert (live.status_code, live.json()) == (200, {"status": "ok"})


async def test_the_metrics_count_requests_messages_and_seconds(api: MemoryApi) -> None:
    await api.post_fields()
    await api.post_batch([VALID, {}])
    await api.post(b"")
    response = await api.ask("GET", "/metrics")

    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert [
        line for line in response.text.splitlines() if not line.startswith("#") and "bucket" not in line
    ] == [
        'herald_produce_requests_total{status="202"} 1.0',
        'herald_produce_requests_total{status="207"} 1.0',
        'herald_produce_requests_total{status="400"} 1.0',
        'herald_produced_messages_total{topic="transactions"} 2.0',
        "herald_produce_duration_seconds_count 3.0",
        "herald_produce_duration_seconds_sum 0.0",
        'herald_build_info{version="1.2.3"} 1.0',
    ]


def test_the_time_of_a_request_is_counted_in_every_bucket_above_it() -> None:
    counts = ProduceCounts()
    counts.duration.observe(0.003)
    counts.duration.observe(60.0)

    text = render_produce_metrics(counts, "1.2.3").decode()

    assert 'herald_produce_duration_seconds_bucket{le="0.0025"} 0.0' in text
    assert 'herald_produce_duration_seconds_bucket{le="0.005"} 1.0' in text
    assert 'herald_produce_duration_seconds_bucket{le="10.0"} 1.0' in text
    assert 'herald_produce_duration_seconds_bucket{le="+Inf"} 2.0' in text


# Faults of our own ----------------------------------------------------------------------------------


async def broken() -> Any:
    raise RuntimeError("ada@example.com cannot be stored in /var/lib/herald")


class BrokenProduce:
    async def one(self, *_: object) -> Any:
        await broken()


@pytest.mark.parametrize("hot", [True, False])
async def test_a_fault_while_producing_shows_nothing_of_the_inside(
    hot: bool,  # noqa: FBT001 - a parameter
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = MemoryApi(hot=hot, produce=BrokenProduce())
    response = await api.post_fields()

    assert response.status_code == 500
    assert response.json() == {
        "type": "urn:herald:problem:internal-error",
        "title": "Herald failed",
        "status": 500,
        "detail": "This is a fault of Herald's; its log file tells more.",
    }
    assert [record.__dict__["action"] for record in caplog.records] == ["produce_failed"]
    assert api.counts.requests == {500: 1}


async def test_a_fault_of_a_page_shows_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    api = MemoryApi(list_topics=broken)
    response = await api.ask("GET", "/api/v1/topics")

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "ada" not in response.text
    assert [record.__dict__["action"] for record in caplog.records] == ["request_failed"]


async def test_no_request_is_logged(api: MemoryApi, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        await api.post_fields()
        await api.post(b"")
        await api.ask("GET", "/nowhere")

    assert [record.name for record in caplog.records if record.name.startswith(("herald", "litestar"))] == []


# Start and stop -------------------------------------------------------------------------------------


async def test_what_is_passed_is_opened_at_the_start_and_closed_at_the_end() -> None:
    api = MemoryApi()
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    told: list[tuple[str, list[str]]] = []

    async def receive() -> dict[str, Any]:
        return next(events)

    async def send(message: Any) -> None:
        told.append((message["type"], list(api.lifespan.events)))

    await api.app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

    assert told == [
        ("lifespan.startup.complete", ["opened"]),
        ("lifespan.shutdown.complete", ["opened", "closed"]),
    ]


GUARDED = ("/", "/api/v1/board", "/api/v1/dead-letters", "/metrics")


async def test_a_page_that_gave_this_machine_a_name_reads_nothing() -> None:
    # Without keys a site that its visitor opened could read addresses out of dead letters (DNS rebinding).
    api = MemoryApi(own_names_only=True)
    paths = (*GUARDED, "/health/live")
    answers = [await api.ask("GET", path, headers={"host": "evil.example:8080"}) for path in paths]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 403, 200]
    assert answers[0].json()["type"] == "urn:herald:problem:foreign-origin"


async def test_addresses_and_names_that_nobody_else_can_have_are_answered() -> None:
    api = MemoryApi(own_names_only=True)
    answers = [await api.ask("GET", path, headers={"host": "127.0.0.1:8080"}) for path in GUARDED]

    assert [answer.status_code for answer in answers] == [200] * len(GUARDED)


@pytest.mark.parametrize(
    ("host", "foreign"),
    [
        *(
            (host, True)
            for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", "e.localhost.x.")
        ),
        *(
            (host, False)
            for host in ("127.0.0.1:8080", "localhost:8080", "herald", "Board.LOCALHOST", "[::1]:8080", "")
        ),
    ],
)
def test_which_names_another_site_may_have_given_this_machine(host: str, *, foreign: bool) -> None:
    assert may_be_rebound(host) is foreign
