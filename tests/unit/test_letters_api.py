"""The paths of dead letters that count, show and send again, over the log in memory."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from application.letter_counts import FRESH_SECONDS, TROUBLE_SECONDS
from application.replay_portion import MOST_LETTERS
from domain.dead_letter import FOR_GROUP, DeadLetter
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason
from entrypoints.letters_routes import MOST_BODY_BYTES
from entrypoints.replay_endpoint import MOST_IDS
from tests.api_parts import KEYS, MemoryApi

PATH = "/api/v1/dead-letters"
REPLAY = f"{PATH}/replay"
FAILED_AT = 1_799_999_000.25
LETTER = DeadLetter(
    record=Record(
        Shard("transactions", 0),
        1,
        b"C-7",
        b'{"request_id": "order-1", "email": "ada@example.com", "message_body": "Paid."}',
        (("content-type", b"application/json"),),
        0.0,
    ),
    group="email",
    reason=DeadLetterReason.REFUSED,
    error="550 no such user",
    attempts=2,
    failed_at=FAILED_AT,
)
NOTHING: Mapping[str, Any] = {
    "replayed": 0,
    "already": 0,
    "parked": 0,
    "failed": 0,
    "unknown": [],
    "remaining": 0,
    "trouble": "",
}


def letter(offset: int, topic: str = "transactions", times: int = 0, **changes: Any) -> DeadLetter:
    """`times`: how often its message was put back before."""
    headers = (("herald-replay", b"%d" % times),) if times else ()
    value = b'{"request_id": "order-%d", "email": "ada@example.com"}' % offset
    record = LETTER.record._replace(shard=Shard(topic, 0), offset=offset, value=value, headers=headers)
    return replace(LETTER, **{"record": record, "failed_at": FAILED_AT + offset, **changes})


def api_with(*letters: DeadLetter, **options: Any) -> MemoryApi:
    api = MemoryApi(**options)
    api.broker.letters += letters
    return api


async def get(api: MemoryApi, path: str, key: str = "") -> httpx.Response:
    return await api.ask("GET", f"{PATH}{path}", headers={"authorization": f"Bearer {key}"} if key else {})


async def replay(api: MemoryApi, choice: object, key: str = "", **headers: str) -> httpx.Response:
    sent = {"content-type": "application/json", **headers}
    if key:
        sent["authorization"] = f"Bearer {key}"
    return await api.ask("POST", REPLAY, json.dumps(choice).encode(), sent)


async def told(api: MemoryApi, choice: object, key: str = "") -> dict[str, Any]:
    answer = await replay(api, choice, key)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body.pop("until").endswith("Z")
    return body


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:herald:problem:")


def put_back(api: MemoryApi) -> list[tuple[str, str]]:
    """Topic and group of each record that was put back."""
    return [(one.shard.topic, dict(one.headers)[FOR_GROUP].decode()) for one in api.records()]


# The summary ----------------------------------------------------------------------------------------


async def test_what_waits_is_counted_by_group_topic_and_reason() -> None:
    api = api_with(
        letter(1),
        letter(2),
        letter(3, reason=DeadLetterReason.INVALID),
        letter(4, times=3),
        letter(5, "refunds"),
        letter(6, group="sms"),
    )

    answer = await get(api, "/summary")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "dead_letters": [
            {"group": "email", "topic": "refunds", "reason": "refused", "count": 1, "parked": 0},
            {"group": "email", "topic": "transactions", "reason": "invalid", "count": 1, "parked": 0},
            {"group": "email", "topic": "transactions", "reason": "refused", "count": 2, "parked": 1},
            {"group": "sms", "topic": "transactions", "reason": "refused", "count": 1, "parked": 0},
        ],
        "total": 5,
        "parked": 1,
    }


async def test_a_summary_narrows_to_a_group_and_a_topic() -> None:
    api = api_with(letter(1), letter(2, "refunds"), letter(3, group="sms"))

    totals = [
        (await get(api, f"/summary{query}")).json()["total"]
        for query in ("?group=email", "?topic=transactions", "?group=sms&topic=refunds")
    ]

    assert totals == [2, 2, 0]


async def test_an_open_board_does_not_have_them_counted_each_time() -> None:
    api = api_with(letter(1))
    first = await get(api, "/summary")
    api.broker.letters.append(letter(2))
    soon = await get(api, "/summary")
    await api.clock.advance(FRESH_SECONDS)
    later = await get(api, "/summary")

    assert [answer.json()["total"] for answer in (first, soon, later)] == [1, 1, 2]


async def test_what_was_sent_again_is_gone_from_the_summary_at_once() -> None:
    api = api_with(letter(1), letter(2))
    before = await get(api, "/summary")
    await told(api, {"ids": ["transactions.email-0-1"]})

    assert (before.json()["total"], (await get(api, "/summary")).json()["total"]) == (2, 1)


async def test_a_log_that_is_away_is_not_asked_by_everybody_who_asks() -> None:
    api = api_with(letter(1))
    api.broker.down = True
    away = await get(api, "/summary")
    api.broker.down = False
    soon = await get(api, "/summary")
    await api.clock.advance(TROUBLE_SECONDS)

    assert [problem_of(answer) for answer in (away, soon)] == [(503, "log-unavailable")] * 2
    assert (await get(api, "/summary")).json()["total"] == 1


@pytest.mark.parametrize("query", ["?reason=refused", "?group=email&group=sms", "?limit=1"])
async def test_a_summary_takes_no_other_query(query: str) -> None:
    assert problem_of(await get(api_with(), f"/summary{query}")) == (400, "invalid-query")


async def test_a_key_s_summary_is_of_its_topics() -> None:
    api = api_with(letter(1), letter(2, "refunds"), keys=KEYS)

    assert (await get(api, "/summary", "shop")).json()["total"] == 1
    assert (await get(api, "/summary", "all")).json()["total"] == 2
    assert problem_of(await get(api, "/summary?topic=refunds", "shop")) == (403, "forbidden")
    assert problem_of(await get(api, "/summary?topic=none", "all")) == (404, "unknown-topic")
    assert problem_of(await get(api, "/summary")) == (401, "unauthorized")


# One letter -----------------------------------------------------------------------------------------


async def test_a_letter_is_shown_whole_and_not_to_be_stored() -> None:
    answer = await get(api_with(LETTER), "/transactions.email-0-1")

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    shown = answer.json()
    assert shown["value"] == (LETTER.record.value or b"").decode()
    assert (shown["key"], shown["parked"], shown["replayed_by"]) == ("C-7", False, None)
    assert shown["headers"] == [{"name": "content-type", "value": "application/json"}]


@pytest.mark.parametrize("letter_id", ["transactions.email-0-2", "nonsense", "other.email-0-1", "x" * 900])
async def test_a_letter_that_is_not_there_is_not_found(letter_id: str) -> None:
    assert problem_of(await get(api_with(LETTER), f"/{letter_id}")) == (404, "not-found")


async def test_a_letter_of_a_stranger_s_topic_is_as_if_it_were_not_there() -> None:
    api = api_with(letter(1), letter(2, "refunds"), keys=KEYS)
    strange = await get(api, "/refunds.email-0-2", "shop")
    absent = await get(api, "/transactions.email-0-9", "shop")

    assert problem_of(strange) == (404, "not-found")
    assert strange.content == absent.content
    assert (await get(api, "/transactions.email-0-1", "shop")).status_code == 200
    assert (await get(api, "/refunds.email-0-2", "all")).status_code == 200
    assert problem_of(await get(api, "/refunds.email-0-2")) == (401, "unauthorized")


async def test_a_letter_in_a_log_that_is_away_is_503() -> None:
    api = api_with(LETTER)
    api.broker.down = True

    assert problem_of(await get(api, "/transactions.email-0-1")) == (503, "log-unavailable")


# Sending again --------------------------------------------------------------------------------------


async def test_letters_go_back_by_their_ids_each_to_its_group() -> None:
    api = api_with(letter(1), letter(2, group="sms"), letter(3))
    body = await told(api, {"ids": ["transactions.sms-0-2", "transactions.email-0-1", "no-1", "no-1"]})

    assert body == {**NOTHING, "replayed": 2, "unknown": ["no-1"]}
    assert put_back(api) == [("transactions", "email"), ("transactions", "sms")]


async def test_one_that_is_parked_or_was_sent_again_stays() -> None:
    api = api_with(letter(1), letter(2, times=3))
    ids = {"ids": ["transactions.email-0-1", "transactions.email-0-2"]}

    first, second = await told(api, ids), await told(api, ids)

    assert first == {**NOTHING, "replayed": 1, "parked": 1}
    assert second == {**NOTHING, "already": 1, "parked": 1}
    assert len(put_back(api)) == 1


@pytest.mark.parametrize(
    ("choice", "groups"),
    [
        ({"group": "sms"}, ["sms"]),
        ({"topic": "transactions"}, ["email", "email", "sms"]),
        ({"reason": "invalid"}, ["email"]),
        ({"group": "email", "topic": "refunds"}, ["email"]),
        ({"all": True}, ["email", "email", "email", "sms"]),
    ],
)
async def test_letters_go_back_by_filters_or_all(choice: dict[str, Any], groups: list[str]) -> None:
    letters = (letter(1), letter(2, reason=DeadLetterReason.INVALID), letter(3, group="sms"))
    api = api_with(*letters, letter(4, "refunds"), letter(5, times=3, error="parked"))
    looked = await told(api, {**choice, "dry_run": True})
    unchanged = put_back(api)
    body = await told(api, choice)

    assert (looked["replayed"], unchanged) == (len(groups), [])
    assert (body["replayed"], body["remaining"]) == (len(groups), 0)
    assert sorted(group for _, group in put_back(api)) == groups


async def test_by_ids_a_dry_run_changes_nothing_either() -> None:
    api = api_with(letter(1), letter(2, times=3))
    ids = ["transactions.email-0-1", "transactions.email-0-2", "transactions.email-0-3"]
    body = await told(api, {"ids": ids, "dry_run": True})

    assert body == {**NOTHING, "replayed": 1, "parked": 1, "unknown": [ids[2]]}
    assert put_back(api) == []


async def test_a_call_does_a_portion_and_the_next_ones_the_rest() -> None:
    api = api_with(*(letter(offset, failed_at=FAILED_AT) for offset in range(MOST_LETTERS + 5)))
    first, second = await told(api, {"all": True}), await told(api, {"all": True})

    assert (first["replayed"], first["remaining"]) == (MOST_LETTERS, 5)
    assert (second["replayed"], second["remaining"]) == (5, 0)
    offsets = [json.loads(one.value or b"")["request_id"] for one in api.records()]
    assert len(offsets) == MOST_LETTERS + 5


async def test_what_fails_after_the_first_call_is_left_to_who_asks_anew() -> None:
    api = api_with(letter(1))
    first = (await replay(api, {"all": True})).json()
    await api.clock.advance(1.0)
    api.broker.letters.append(letter(2, times=1, failed_at=api.clock.now()))
    await api.clock.advance(1.0)

    same = await told(api, {"all": True, "until": first["until"]})
    anew = await told(api, {"all": True})

    assert (same["replayed"], same["remaining"]) == (0, 0)
    assert anew["replayed"] == 1


async def test_two_at_once_put_each_letter_back_once() -> None:
    api = api_with(*(letter(offset) for offset in range(1, 31)))
    answers = await asyncio.gather(told(api, {"all": True}), told(api, {"group": "email"}))

    assert sorted(answer["replayed"] for answer in answers) == [0, 30]
    assert len(put_back(api)) == 30


async def test_the_letter_tells_who_did_it() -> None:
    keyed = api_with(letter(1), keys=KEYS)
    await told(keyed, {"all": True}, "shop")
    open_to_all = api_with(letter(1))
    await told(open_to_all, {"all": True})

    names = [
        (await get(api, "/transactions.email-0-1", key)).json()["replayed_by"]
        for api, key in ((keyed, "shop"), (open_to_all, ""))
    ]
    assert names == ["shop", "board"]


async def test_a_key_puts_back_letters_of_its_topics_only() -> None:
    api = api_with(letter(1), letter(2, "refunds"), keys=KEYS)
    by_id = await told(api, {"ids": ["refunds.email-0-2"]}, "shop")
    counted = await told(api, {"all": True, "dry_run": True}, "shop")
    everything = await told(api, {"all": True}, "shop")
    named = await replay(api, {"topic": "refunds"}, "shop")

    assert by_id == {**NOTHING, "unknown": ["refunds.email-0-2"]}
    assert (counted["replayed"], everything["replayed"]) == (1, 1)
    assert problem_of(named) == (403, "forbidden")
    assert problem_of(await replay(api, {"topic": "none"}, "all")) == (404, "unknown-topic")
    assert problem_of(await replay(api, {"all": True})) == (401, "unauthorized")
    assert put_back(api) == [("transactions", "email")]


async def test_a_log_that_is_away_is_503_and_nothing_is_lost() -> None:
    api = api_with(letter(1))
    api.broker.down = True
    away = [await replay(api, choice) for choice in ({"all": True}, {"ids": ["transactions.email-0-1"]})]
    looked = await replay(api, {"all": True, "dry_run": True})
    api.broker.down = False

    assert [problem_of(answer) for answer in (*away, looked)] == [(503, "log-unavailable")] * 3
    assert away[0].headers["retry-after"] == "1"
    assert (await told(api, {"all": True}))["replayed"] == 1


async def test_a_letter_that_the_log_does_not_take_is_told_with_the_trouble() -> None:
    nowhere = LETTER.record._replace(shard=Shard("transactions", 6))
    api = api_with(letter(1), letter(2, record=nowhere), letter(3, group="sms"))
    body = await told(api, {"all": True})

    assert (body["replayed"], body["failed"], body["remaining"]) == (2, 1, 0)
    assert body["trouble"] == "the log has no partition 6 of transactions"


@pytest.mark.parametrize(
    ("choice", "pointers"),
    [
        ({}, ["#"]),
        ([], ["#"]),
        ("all", ["#"]),
        ({"dry_run": True}, ["#"]),
        ({"ids": ["a"], "all": True}, ["#"]),
        ({"ids": ["a"], "group": "email"}, ["#"]),
        ({"all": True, "topic": "transactions"}, ["#"]),
        ({"all": False}, ["#/all"]),
        ({"ids": []}, ["#/ids"]),
        ({"ids": "transactions.email-0-1"}, ["#/ids"]),
        ({"ids": ["x"] * (MOST_IDS + 1)}, ["#/ids"]),
        ({"ids": ["x", 1, None]}, ["#/ids/1", "#/ids/2"]),
        ({"group": "", "topic": None, "reason": "lazy"}, ["#/group", "#/topic", "#/reason"]),
        ({"group": "email", "reason": 1, "limit": 3}, ["#/limit", "#/reason"]),
        ({"all": True, "until": "yesterday", "dry_run": "no"}, ["#/until", "#/dry_run"]),
        ({"all": True, "a/b~c": 1}, ["#/a~1b~0c"]),
    ],
)
async def test_a_choice_that_is_not_clear_is_told_with_every_mistake_and_changes_nothing(
    choice: object, pointers: list[str]
) -> None:
    api = api_with(letter(1))
    answer = await replay(api, choice)

    assert problem_of(answer) == (400, "invalid-body")
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers
    assert put_back(api) == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"all": true', b"[" * 5000])
async def test_what_is_no_json_is_told(body: bytes) -> None:
    answer = await api_with().ask("POST", REPLAY, body, {"content-type": "application/json"})

    assert problem_of(answer) == (400, "not-json")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_what_a_page_may_send_anywhere_without_asking_is_not_taken(media_type: str) -> None:
    api = api_with(letter(1))
    headers = {"content-type": media_type} if media_type else {}
    answer = await api.ask("POST", REPLAY, b'{"all": true}', headers)

    assert problem_of(answer) == (415, "unsupported-media-type")
    assert put_back(api) == []


async def test_a_body_that_is_too_large_is_not_taken() -> None:
    answer = await replay(api_with(), {"ids": ["x" * MOST_BODY_BYTES]})

    assert problem_of(answer) == (413, "body-too-large")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_another_method_is_not_allowed(method: str) -> None:
    answer = await api_with().ask(method, REPLAY)

    assert problem_of(answer) == (405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("origin", "host", "is_taken"),
    [
        ("http://herald", "herald", True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("HTTPS://Herald.example", "herald.example", True),
        ("http://127.0.0.1:3000", "127.0.0.1:8080", False),
        ("https://evil.example", "herald.example", False),
        ("null", "herald.example", False),
        ("", "herald.example", False),
        ("http://[", "herald.example", False),
        ("null", "", False),
    ],
)
async def test_a_page_of_another_site_puts_nothing_back(origin: str, host: str, *, is_taken: bool) -> None:
    api = api_with(letter(1))
    answer = await replay(api, {"all": True}, origin=origin, host=host)

    if is_taken:
        assert answer.status_code == 200
    else:
        assert problem_of(answer) == (403, "foreign-origin")
    assert len(put_back(api)) == is_taken


async def test_replays_are_not_counted_as_produce_requests() -> None:
    api = api_with(letter(1))
    await told(api, {"all": True})

    assert sum(api.counts.requests.values()) == 0
