"""The AsyncAPI document of the topics, and that real records are as it says."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest

from adapters.kafka_letters import record_of_letter, record_of_note
from application.topic_plans import plan_topics
from domain.dead_letter import DeadLetter, KeptLetter, Replay, returned_headers
from domain.log import Headers, Record
from domain.outcome import DeadLetterReason
from entrypoints.asyncapi import asyncapi_document
from entrypoints.settings_model import Settings
from tests.api_parts import SETTINGS, VALID, MemoryApi, shared_api

DOCUMENT = asyncapi_document("1.2.3", SETTINGS)
ON_KAFKA = Settings.model_validate(
    {
        "broker": {"backend": "kafka"},
        "kafka": {
            "bootstrap_servers": "one:9092, two:9092",
            "group_prefix": "shop-",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "herald",
            "sasl_password": "secret-of-kafka",
        },
        "topics": [{"name": "a.b_c-d", "replication_factor": 3, "retention_hours": 2}, {"name": "refunds"}],
    }
)
KAFKA_DOCUMENT = asyncapi_document("1.2.3", ON_KAFKA)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def at(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


@pytest.mark.parametrize("document", [DOCUMENT, KAFKA_DOCUMENT], ids=["sqlite", "kafka"])
def test_all_that_the_document_refers_to_is_in_it(document: Any) -> None:
    assert [reference for reference in references(document) if not at(document, reference)] == []


@pytest.mark.parametrize("settings", [SETTINGS, ON_KAFKA], ids=["sqlite", "kafka"])
def test_its_channels_are_the_topics_and_their_dead_letters_as_they_are_made(
    settings: Settings,
) -> None:
    plans = plan_topics(settings.configured_topics(), settings.broker.dead_letter_days, {})
    channels = asyncapi_document("1.2.3", settings)["channels"].values()

    assert [
        (bound["topic"], bound["partitions"], bound["topicConfiguration"]["retention.ms"])
        for channel in channels
        for bound in [channel["bindings"]["kafka"]]
    ] == [
        (plan.name, plan.partitions, plan.retention_ms)
        for plan in plans
        if plan.beside is None or plan.name.endswith(".dead-letters")
    ]


def test_on_kafka_it_names_the_brokers_how_to_log_in_and_the_groups_and_no_secret() -> None:
    acts = KAFKA_DOCUMENT["operations"]

    assert [(server["host"], server["protocol"]) for server in KAFKA_DOCUMENT["servers"].values()] == [
        ("one:9092", "kafka-secure"),
        ("two:9092", "kafka-secure"),
    ]
    assert KAFKA_DOCUMENT["components"]["securitySchemes"] == {"login": {"type": "scramSha512"}}
    assert acts["deliver.refunds.sms"]["bindings"]["kafka"]["groupId"]["enum"] == ["shop-sms"]
    assert "secret-of-kafka" not in json.dumps(KAFKA_DOCUMENT)


def test_on_sqlite_it_says_that_there_is_no_server_to_connect_to() -> None:
    assert "servers" not in DOCUMENT
    assert "There is no server to connect to" in DOCUMENT["info"]["description"]


def test_each_topic_is_written_by_the_api_read_by_its_groups_and_given_up_by_them() -> None:
    assert {name: act["action"] for name, act in DOCUMENT["operations"].items()} == {
        "accept.transactions": "send",
        "deliver.transactions.email": "receive",
        "bury.transactions.email": "send",
        "deliver.transactions.sms": "receive",
        "bury.transactions.sms": "send",
        "accept.refunds": "send",
        "deliver.refunds.email": "receive",
        "bury.refunds.email": "send",
    }


# Records ---------------------------------------------------------------------------------------------


def mistakes(message: str, key: bytes | None, value: bytes | None, headers: Headers) -> list[str]:
    """Where a record differs from what the document says of this message."""
    described = DOCUMENT["components"]["messages"][message]
    decoded = {name: given.decode() for name, given in headers}
    parts = [
        (described["bindings"]["kafka"]["key"], None if key is None else key.decode()),
        (described["headers"], decoded),
        (described["payload"], None if value is None else json.loads(value)),
    ]
    return [
        error.message
        for schema, given in parts
        for error in jsonschema_rs.validator_for(
            {**schema, "components": DOCUMENT["components"]}, validate_formats=True
        ).iter_errors(given)
    ]


async def posted(api: MemoryApi, **fields: Any) -> Record:
    api.begin_again()
    answer = await api.post(
        json.dumps({**VALID, **fields}).encode(),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    assert answer.status_code == 202
    (record,) = api.records()
    return record


@pytest.fixture
def api() -> MemoryApi:
    return shared_api(hot=True)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"key": "customer-7", "request_id": "r-1", "expires_at": "2030-01-31T12:00:00Z"},
        {"email": "", "customer_id": None, "message_body": "two\nlines", "partition": 2},
        {"phone": None, "email": "jürgen@exämple.de"},
    ],
)
async def test_a_record_that_the_api_wrote_is_as_it_says(api: MemoryApi, fields: dict[str, Any]) -> None:
    record = await posted(api, **fields)

    assert mistakes("Notification", record.key, record.value, record.headers) == []


def letter_of(record: Record, reason: DeadLetterReason) -> DeadLetter:
    return DeadLetter(record=record, group="email", reason=reason, error="550", attempts=3, failed_at=1.5)


@pytest.mark.parametrize("reason", DeadLetterReason)
async def test_a_dead_letter_its_note_and_its_replay_are_as_it_says(
    api: MemoryApi, reason: DeadLetterReason
) -> None:
    letter = letter_of(await posted(api, key="customer-7"), reason)
    kept = KeptLetter(letter=letter, request_id="r-1")
    dead = record_of_letter(letter)
    note = record_of_note(kept, Replay(failed_at=1.5, at=2.5, by="ada"))

    assert mistakes("DeadLetter", dead.key, dead.value, dead.headers) == []
    assert mistakes("ReplayNote", note.key, note.value, note.headers) == []
    assert mistakes("Notification", dead.key, dead.value, returned_headers(kept)) == []


async def test_what_it_says_of_records_can_be_wrong(api: MemoryApi) -> None:
    record = await posted(api)
    letter = record_of_letter(letter_of(record, DeadLetterReason.REFUSED))
    without_reason = tuple(header for header in letter.headers if header[0] != "herald-reason")

    assert mistakes("Notification", None, b'{"phone": "12"}', ()) != []
    assert mistakes("Notification", None, b"[]", ()) != []
    assert mistakes("Notification", None, record.value, (("content-type", b"text/plain"),)) != []
    assert mistakes("DeadLetter", None, record.value, without_reason) != []


async def test_the_document_is_served_and_asks_for_a_key_where_there_are_some(api: MemoryApi) -> None:
    answer = await api.ask("GET", "/schema/asyncapi.json")
    guarded = shared_api(hot=True, guarded=True)

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT
    assert (await guarded.ask("GET", "/schema/asyncapi.json")).status_code == 401
