import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from entrypoints.inbox import Inbox, InboxOptions
from tests.plain_client import plain_client

ACCOUNT = "AC00000000000000000000000000000000"
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
FORM = {"To": "+491701234567", "From": "+15005550006", "Body": "Transaction Successful"}
OPTIONS = InboxOptions(smtp_port=0, sms_port=0, http_port=0)


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox(OPTIONS) as running:
        yield running


@pytest.fixture
async def provider(inbox: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    base_url = f"http://127.0.0.1:{inbox.ports.sms}"
    async with plain_client(base_url, auth=(ACCOUNT, "anything")) as client:
        yield client


async def contents(inbox: Inbox) -> Any:
    async with plain_client(f"http://127.0.0.1:{inbox.ports.http}") as client:
        return (await client.get("/api/v1/inbox")).json()


async def test_a_text_is_queued_and_shown(inbox: Inbox, provider: httpx.AsyncClient) -> None:
    answer = await provider.post(PATH, data=FORM, headers={"Idempotency-Key": "r-1.transactions"})
    [shown] = (await contents(inbox))["sms"]

    assert answer.status_code == 201
    assert re.fullmatch(r"SM[0-9a-f]{32}", answer.json()["sid"])
    assert (
        answer.json().items()
        >= {
            "status": "queued",
            "to": "+491701234567",
            "from": "+15005550006",
            "body": "Transaction Successful",
            "account_sid": ACCOUNT,
            "error_code": None,
        }.items()
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown.pop("at"))
    assert shown == {
        "sid": answer.json()["sid"],
        "from": "+15005550006",
        "to": "+491701234567",
        "body": "Transaction Successful",
        "idempotency_key": "r-1.transactions",
    }


async def test_the_longest_text_of_any_letters_is_taken(inbox: Inbox, provider: httpx.AsyncClient) -> None:
    answer = await provider.post(PATH, data={**FORM, "Body": "€" * 1600})
    [shown] = (await contents(inbox))["sms"]

    assert answer.status_code == 201
    assert shown["body"] == "€" * 1600
    assert shown["idempotency_key"] is None


async def test_a_messaging_service_may_stand_for_the_sender(provider: httpx.AsyncClient) -> None:
    answer = await provider.post(PATH, data={**FORM, "From": "", "MessagingServiceSid": "MG1"})

    assert answer.json()["from"] == "MG1"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "491701234567"}, 21211),
        ({"To": "+491701234567\n"}, 21211),
        ({"To": "+0123456789"}, 21211),
        ({"From": ""}, 21603),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
    ],
)
async def test_a_wrong_field_is_refused_with_the_providers_code(
    inbox: Inbox, provider: httpx.AsyncClient, change: dict[str, str], code: int
) -> None:
    answer = await provider.post(PATH, data=FORM | change)

    assert answer.status_code == 400
    assert answer.json().keys() == {"code", "message", "more_info", "status"}
    assert (answer.json()["code"], answer.json()["status"]) == (code, 400)
    assert (await contents(inbox))["sms"] == []


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{}", b"&".join([b"To=%2B491701234567"] * 101)])
async def test_a_body_that_is_no_form_misses_its_recipient(provider: httpx.AsyncClient, body: bytes) -> None:
    answer = await provider.post(PATH, content=body)

    assert (answer.status_code, answer.json()["code"]) == (400, 21604)


@pytest.mark.parametrize("credentials", [None, "", "Basic", "Bearer abc"])
async def test_without_basic_credentials_nothing_is_taken(inbox: Inbox, credentials: str | None) -> None:
    headers = {} if credentials is None else {"Authorization": credentials}
    async with plain_client(f"http://127.0.0.1:{inbox.ports.sms}", headers=headers) as client:
        answer = await client.post(PATH, data=FORM)

    assert (answer.status_code, answer.json()["code"]) == (401, 20003)
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/", 404, 20404),
        ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json", 404, 20404),
        ("POST", "/2010-04-01/Accounts/a/b/Messages.json", 404, 20404),
        ("GET", PATH, 405, 20004),
    ],
)
async def test_only_the_messages_resource_is_there(
    provider: httpx.AsyncClient, method: str, path: str, status: int, code: int
) -> None:
    answer = await provider.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_form_beyond_any_text_is_not_read_to_its_end(provider: httpx.AsyncClient) -> None:
    answer = await provider.post(PATH, content=b"Body=" + b"x" * 70_000)

    assert answer.status_code == 413


async def test_many_texts_at_once_all_arrive(inbox: Inbox, provider: httpx.AsyncClient) -> None:
    for number in range(200):
        await provider.post(PATH, data={**FORM, "Body": str(number)})
    shown = await contents(inbox)

    assert [text["body"] for text in shown["sms"]] == [str(number) for number in range(199, 99, -1)]
    assert shown["totals"] == {"emails": 0, "sms": 200}
