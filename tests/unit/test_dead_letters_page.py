"""GET /api/v1/dead-letters."""

from dataclasses import replace
from typing import Any

import pytest

from domain.dead_letter import DeadLetter
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason
from tests.api_parts import KEYS, MemoryApi

PATH = "/api/v1/dead-letters"
LETTER = DeadLetter(
    record=Record(
        Shard("transactions", 3),
        42,
        b"C-7",
        b'{"request_id": "order-1", "email": "ada@example.com", "message_body": "Paid."}',
        (("herald-replay", b"1"),),
        0.0,
    ),
    group="email",
    reason=DeadLetterReason.REFUSED,
    error="550 no such user",
    attempts=2,
    failed_at=1_800_000_000.25,
)


def of(topic: str, offset: int = 1, **changes: Any) -> DeadLetter:
    return replace(LETTER, record=LETTER.record._replace(shard=Shard(topic, 0), offset=offset), **changes)


def api_with(*letters: DeadLetter, **options: Any) -> MemoryApi:
    api = MemoryApi(**options)
    api.broker.letters += letters
    return api


async def ids(api: MemoryApi, query: str = "", key: str = "") -> list[str]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = await api.ask("GET", f"{PATH}{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["dead_letters"]]


async def test_a_letter_is_told_without_address_and_body() -> None:
    answer = await api_with(LETTER).ask("GET", PATH)

    assert answer.status_code == 200
    assert answer.json() == {
        "dead_letters": [
            {
                "id": "transactions.email-3-42",
                "group": "email",
                "topic": "transactions",
                "partition": 3,
                "offset": 42,
                "request_id": "order-1",
                "key": "C-7",
                "reason": "refused",
                "error": "550 no such user",
                "attempts": 2,
                "failed_at": "2027-01-15T08:00:00.250Z",
                "replays": 1,
            }
        ],
        "next": None,
    }


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (b"ada@example.com", "***@***"),
        (b"+15551234567", "***"),
        (b"10004711", "10004711"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (None, None),
    ],
)
async def test_a_key_that_is_an_address_is_hidden(key: bytes | None, told: str | None) -> None:
    letter = replace(LETTER, record=LETTER.record._replace(key=key))
    answer = await api_with(letter).ask("GET", PATH)

    assert answer.json()["dead_letters"][0]["key"] == told


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["transactions.email-0-1", "transactions.email-0-2", "refunds.sms-0-3"]),
        ("?group=sms", ["refunds.sms-0-3"]),
        ("?topic=transactions", ["transactions.email-0-1", "transactions.email-0-2"]),
        ("?reason=invalid&topic=transactions", ["transactions.email-0-2"]),
        ("?group=&topic=&reason=&limit=&after=", 3),
        ("?group=nobody", []),
        ("?replayed=true", []),
        ("?replayed=false", 3),
    ],
)
async def test_filters_narrow(query: str, found: list[str] | int) -> None:
    api = api_with(
        of("transactions", 1),
        of("transactions", 2, failed_at=LETTER.failed_at + 1, reason=DeadLetterReason.INVALID),
        of("refunds", 3, failed_at=LETTER.failed_at + 2, group="sms"),
    )
    shown = await ids(api, query)

    assert found in (shown, len(shown))


async def test_next_leads_through_all_of_them() -> None:
    api = api_with(*(of("transactions", n) for n in range(5)))
    first = (await api.ask("GET", f"{PATH}?limit=3")).json()
    second = (await api.ask("GET", f"{PATH}?limit=3&after={first['next']}")).json()

    offsets = [one["offset"] for page in (first, second) for one in page["dead_letters"]]
    assert offsets == [0, 1, 2, 3, 4]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("?replayed=yes", ["#/replayed"]),
        ("?limit=0", ["#/limit"]),
        ("?limit=1001", ["#/limit"]),
        ("?limit=-1", ["#/limit"]),
        ("?limit=9999999999999999999999", ["#/limit"]),
        ("?limit=000000001999999999999999999999", ["#/limit"]),
        ("?limit=%C2%B2", ["#/limit"]),
        ("?limit=ten&reason=lazy&after=x&gruop=email", ["#/gruop", "#/reason", "#/limit", "#/after"]),
        ("?group=email&group=sms", ["#/group"]),
        ("?after=nan~transactions.email-0-1", ["#/after"]),
    ],
)
async def test_a_bad_query_is_told_with_every_mistake(query: str, pointers: list[str]) -> None:
    answer = await api_with(LETTER).ask("GET", f"{PATH}{query}")

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["type"] == "urn:herald:problem:invalid-query"
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers


async def test_a_topic_that_is_not_there_is_told() -> None:
    answer = await api_with().ask("GET", f"{PATH}?topic=nothing")

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:herald:problem:unknown-topic")


async def test_a_log_that_does_not_answer_is_503() -> None:
    api = api_with(LETTER)
    api.broker.down = True
    answer = await api.ask("GET", PATH)

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:herald:problem:log-unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_key_shows_the_letters_of_its_topics_only() -> None:
    api = api_with(of("transactions"), of("refunds"), keys=KEYS)

    assert await ids(api, key="shop") == ["transactions.email-0-1"]
    assert len(await ids(api, key="all")) == 2


async def test_a_key_that_is_not_for_the_topic_is_forbidden_and_none_is_unauthorized() -> None:
    api = api_with(of("refunds"), keys=KEYS)
    other = await api.ask("GET", f"{PATH}?topic=refunds", headers={"authorization": "Bearer shop"})
    nobody = await api.ask("GET", PATH)

    assert (other.status_code, nobody.status_code) == (403, 401)
    assert "refunds.email" not in other.text


async def test_head_is_answered_like_get_without_a_body() -> None:
    answer = await api_with(LETTER).ask("HEAD", PATH)

    assert (answer.status_code, answer.content) == (200, b"")
