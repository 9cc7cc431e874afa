import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiosmtplib
import httpx
import pytest

from entrypoints.inbox import Inbox, InboxOptions
from tests.plain_client import plain_client

OPTIONS = InboxOptions(smtp_port=0, sms_port=0, http_port=0, keep=5)
INBOX = "/api/v1/inbox"
OUTAGE = "/api/v1/inbox/outage"


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox(OPTIONS) as running:
        yield running


@pytest.fixture
async def api(inbox: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(f"http://127.0.0.1:{inbox.ports.http}") as client:
        yield client


async def send_mails(inbox: Inbox, *subjects: str) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp) as smtp:
        for subject in subjects:
            await smtp.sendmail("s@example.com", ["r@example.com"], f"Subject: {subject}\r\n\r\n")


async def test_an_empty_inbox_says_so(api: httpx.AsyncClient) -> None:
    answer = await api.get(INBOX)

    assert answer.json() == {"totals": {"emails": 0, "sms": 0}, "emails": [], "sms": []}
    assert answer.headers["content-type"] == "application/json"


async def test_the_newest_mails_come_first_up_to_the_limit(inbox: Inbox, api: httpx.AsyncClient) -> None:
    await send_mails(inbox, "one", "two", "three")
    answer = await api.get(INBOX, params={"limit": 2})

    assert [mail["subject"] for mail in answer.json()["emails"]] == ["three", "two"]


async def test_only_the_newest_are_kept_while_the_totals_count_all(
    inbox: Inbox, api: httpx.AsyncClient
) -> None:
    await send_mails(inbox, *(str(number) for number in range(8)))
    answer = await api.get(INBOX)

    assert [mail["subject"] for mail in answer.json()["emails"]] == ["7", "6", "5", "4", "3"]
    assert answer.json()["totals"] == {"emails": 8, "sms": 0}


async def test_deleting_empties_it_and_counts_from_zero(inbox: Inbox, api: httpx.AsyncClient) -> None:
    await send_mails(inbox, "before")
    deleted = await api.delete(INBOX)
    emptied = await api.get(INBOX)
    await send_mails(inbox, "after")
    answer = await api.get(INBOX)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert not {"content-type", "content-length"} & set(deleted.headers)  # RFC 9110, 8.6
    assert emptied.json()["totals"] == {"emails": 0, "sms": 0}
    assert answer.json()["totals"] == {"emails": 1, "sms": 0}
    assert [mail["subject"] for mail in answer.json()["emails"]] == ["after"]


async def test_readers_at_the_same_time_see_the_same(inbox: Inbox, api: httpx.AsyncClient) -> None:
    await send_mails(inbox, "one", "two")
    answers = await asyncio.gather(*(api.get(INBOX) for _ in range(8)))

    assert {answer.content for answer in answers} == {answers[0].content}
    assert [mail["subject"] for mail in answers[0].json()["emails"]] == ["two", "one"]


@pytest.mark.parametrize("limit", ["-1", "many", "", "1.5", "٣", "1" * 10])
async def test_a_limit_that_is_no_number_is_refused(api: httpx.AsyncClient, limit: str) -> None:
    answer = await api.get(INBOX, params={"limit": limit})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:herald:problem:invalid-request"


async def test_the_front_page_is_for_people(api: httpx.AsyncClient) -> None:
    answer = await api.get("/")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Herald inbox</title>" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api/v1/nothing", 404, None),
        ("POST", "/", 405, "GET"),
        ("POST", INBOX, 405, "GET, DELETE"),
        ("PATCH", OUTAGE, 405, "GET, PUT"),
    ],
)
async def test_what_is_not_there_is_a_problem(
    api: httpx.AsyncClient, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = await api.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("allow") == allow
    assert answer.json()["status"] == status


async def test_a_head_request_gets_the_headers_alone(api: httpx.AsyncClient) -> None:
    answer = await api.head(INBOX)

    assert (answer.status_code, answer.content) == (200, b"")


async def test_both_services_are_up_at_first(api: httpx.AsyncClient) -> None:
    assert (await api.get(OUTAGE)).json() == {"email": "up", "sms": "up"}


@pytest.mark.parametrize(
    ("wanted", "states"),
    [
        ({"email": "busy"}, {"email": "busy", "sms": "up"}),
        ({"sms": "slow"}, {"email": "up", "sms": "slow"}),
        ({"email": "down", "sms": "reject"}, {"email": "down", "sms": "reject"}),
        ({}, {"email": "up", "sms": "up"}),
    ],
)
async def test_a_service_that_is_not_named_stays_as_it_is(
    api: httpx.AsyncClient, wanted: dict[str, str], states: dict[str, str]
) -> None:
    changed = await api.put(OUTAGE, json=wanted)

    assert (changed.status_code, changed.json()) == (200, states)
    assert (await api.get(OUTAGE)).json() == states


@pytest.mark.parametrize(
    "wanted",
    [
        {"email": "busy", "sms": "sleepy"},
        {"email": "busy", "fax": "up"},
        {"email": None},
        {"email": ["up"]},
        [],
        "up",
    ],
)
async def test_an_unknown_state_or_service_changes_nothing(api: httpx.AsyncClient, wanted: Any) -> None:
    answer = await api.put(OUTAGE, json=wanted)

    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:herald:problem:invalid-request"
    assert (await api.get(OUTAGE)).json() == {"email": "up", "sms": "up"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 4000])
async def test_a_switch_that_is_not_json_is_refused(api: httpx.AsyncClient, body: bytes) -> None:
    answer = await api.put(OUTAGE, content=body)

    assert (answer.status_code, answer.json()["type"]) == (400, "urn:herald:problem:not-json")


async def test_a_monstrous_switch_is_refused(api: httpx.AsyncClient) -> None:
    assert (await api.put(OUTAGE, content=b" " * 5000)).status_code == 413
