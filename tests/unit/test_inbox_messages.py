"""The JSON behind the inbox's page."""

import re
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from entrypoints.inbox_http import InboxApi
from entrypoints.inbox_messages import MESSAGES
from entrypoints.inbox_store import InboxStore, ReceivedMail, ReceivedText
from entrypoints.plain_http import asgi_app

HOSTILE = b"<script>alert(1)</script><LINK rel=preconnect href=http://example.com><iFrame src=http://example.com></iframe><p>hello</p>"


@pytest.fixture
def store() -> InboxStore:
    return InboxStore(keep=10_000, keep_bytes=10**9)


def put_mail(store: InboxStore, subject: str = "s", body: bytes = b"body", *headers: bytes) -> None:
    head = b"".join(header + b"\r\n" for header in (b"Subject: " + subject.encode(), *headers))
    store.add_mail(ReceivedMail(sender="a@b.co", recipients=("ada@b.co",), at=0.0, raw=head + b"\r\n" + body))


def put_text(store: InboxStore, body: str = "hi", key: str | None = "order:1.transactions") -> None:
    store.add_text(
        ReceivedText(
            sid="SM1", sender="+15005550006", recipient="+12025550143", body=body, idempotency_key=key, at=0.0
        )
    )


async def ask(store: InboxStore, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(asgi_app(InboxApi(store, {}).handle))
    async with httpx.AsyncClient(transport=transport, base_url="http://inbox:8025") as client:
        return await client.request(method, path, headers=headers)


async def listed(store: InboxStore, query: str = "") -> Any:
    return (await ask(store, f"{MESSAGES}?{query}")).json()


def numbers(answer: Any) -> list[int]:
    return [message["number"] for message in answer["messages"]]


async def test_mails_and_texts_are_one_list_newest_first(store: InboxStore) -> None:
    put_mail(store, "Paid", b"Paid\n\nYour  payment\narrived.")
    put_text(store, "Paid\nThank you")
    answer = await listed(store)

    assert answer == {
        "run": store.run,
        "newest": 2,
        "totals": {"emails": 1, "sms": 1},
        "services": {},
        "messages": [
            {
                "number": 2,
                "kind": "sms",
                "from": "+15005550006",
                "to": "+12025550143",
                "subject": "Paid",
                "snippet": "Thank you",
                "at": "1970-01-01T00:00:00.000Z",
                "bytes": 14,
            },
            {
                "number": 1,
                "kind": "email",
                "from": "a@b.co",
                "to": "ada@b.co",
                "subject": "Paid",
                "snippet": "Your payment arrived.",
                "at": "1970-01-01T00:00:00.000Z",
                "bytes": 45,
            },
        ],
        "next": None,
    }


async def test_who_knows_the_newest_gets_only_what_came_after_it(store: InboxStore) -> None:
    put_mail(store)
    known = (await listed(store))["newest"]
    nothing_new = await ask(store, f"{MESSAGES}?after={known}")
    put_text(store)

    assert nothing_new.json()["messages"] == []
    assert len(nothing_new.content) < 200
    assert numbers(await listed(store, f"after={known}")) == [2]


async def test_the_list_goes_on_where_it_ended(store: InboxStore) -> None:
    for _ in range(5):
        put_mail(store)
    first = await listed(store, "limit=2")
    second = await listed(store, f"limit=2&before={first['next']}")
    third = await listed(store, f"limit=2&before={second['next']}")

    assert [numbers(page) for page in (first, second, third)] == [[5, 4], [3, 2], [1]]
    assert (first["next"], second["next"], third["next"]) == (4, 2, None)


async def test_one_kind_may_be_asked_for(store: InboxStore) -> None:
    put_mail(store)
    put_text(store)

    assert numbers(await listed(store, "kind=email")) == [1]
    assert numbers(await listed(store, "kind=sms")) == [2]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("GRÜSSE", [1]),
        ("grüße", [1]),
        ("shop@b.co", [1]),
        ("ada@b.co", [1]),
        ("order:1", [2, 1]),  # in a Message-ID the colon is written otherwise
        ("order=3a1.tr", [1]),
        ("inner words", [1]),
        ("words inner", [1]),
        ("inner nonsense", []),
        ("+12025550143", [2]),
        ("sm1", [2]),
        ("stylish", []),
        ("   ", [2, 1]),
    ],
)
async def test_a_search_looks_at_everything_a_person_may_know(
    store: InboxStore, search: str, found: list[int]
) -> None:
    html = b"<style>.stylish{}</style><header>inner&nbsp;<b>words</b></header>"
    more = (
        b"From: shop@b.co",
        b"Message-ID: <order=3A1.transactions@x>",
        b"Content-Type: text/html; charset=utf-8",
    )
    put_mail(store, "Grüße", html, *more)
    put_text(store)

    answer = (await ask(store, str(httpx.URL(MESSAGES, params={"search": search})))).json()
    assert numbers(answer) == found


async def test_a_search_through_many_goes_on_from_request_to_request(store: InboxStore) -> None:
    put_text(store, "needle")
    for _ in range(4500):
        put_text(store, "hay")
    pages = [await listed(store, "search=needle")]
    while pages[-1]["next"] is not None:
        pages.append(await listed(store, f"search=needle&before={pages[-1]['next']}"))

    assert [numbers(page) for page in pages] == [[], [], [1]]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "after=-1",
        "before=1.5",
        "kind=fax",
        "serach=x",
        "after=" + "9" * 13,
        "search=" + "x" * 201,
    ],
)
async def test_a_wrong_query_is_refused(store: InboxStore, query: str) -> None:
    answer = await ask(store, f"{MESSAGES}?{query}")

    assert (answer.status_code, answer.json()["type"]) == (400, "urn:herald:problem:invalid-request")


async def test_a_mail_is_opened_with_its_headers_and_attachments(store: InboxStore) -> None:
    parts = (
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
        b'--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="a.pdf"\r\n\r\n'
        b"1234\r\n--b--"
    )
    put_mail(store, "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", parts, b'Content-Type: multipart/mixed; boundary="b"')
    opened = (await ask(store, f"{MESSAGES}/1")).json()

    assert opened["subject"] == "Grüße"
    assert (opened["text"], opened["has_html"], "html" in opened) == ("plain", True, False)
    assert opened["headers"] == [
        ["Subject", "Grüße"],
        ["Content-Type", 'multipart/mixed; boundary="b"'],
    ]
    assert opened["attachments"] == [{"name": "a.pdf", "type": "application/pdf", "bytes": 4}]
    assert opened["headers_left_out"] == 0


async def test_the_source_is_what_came_byte_for_byte_also_after_it_was_read(store: InboxStore) -> None:
    put_mail(store, "s", b"\xff\x00broken")
    raw = store.newest_mails(1)[0].raw
    await listed(store)
    answer = await ask(store, f"{MESSAGES}/1/source")

    assert answer.content == raw
    assert answer.headers["content-type"] == "message/rfc822"
    assert answer.headers["content-disposition"] == 'attachment; filename="1.eml"'


async def test_html_comes_with_a_policy_under_which_nothing_of_it_runs_or_loads(store: InboxStore) -> None:
    put_mail(store, "s", HOSTILE, b"Content-Type: text/html; charset=utf-8")
    answer = await ask(store, f"{MESSAGES}/1/html")
    policy = answer.headers["content-security-policy"].split("; ")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert {"default-src 'none'", "form-action 'none'", "base-uri 'none'"} <= set(policy)
    assert policy[-1] == "sandbox allow-popups allow-popups-to-escape-sandbox"
    assert not any("script" in rule or "http" in rule for rule in policy)
    assert b"<p>hello</p>" in answer.content
    assert not re.search(rb"<(link|iframe)", answer.content, re.IGNORECASE)  # they connect before they ask


async def test_a_text_is_opened_with_its_segments(store: InboxStore) -> None:
    put_text(store, "é" * 161)
    opened = (await ask(store, f"{MESSAGES}/1")).json()

    assert (opened["segments"], opened["units"], opened["alphabet"]) == (2, 161, "GSM-7")
    assert (opened["body"], opened["idempotency_key"]) == ("é" * 161, "order:1.transactions")


@pytest.mark.parametrize(
    "path", ["/1", "/2/html", "/2/source", "/3/html", "/9", "/x", "/2/other", "/2/", "/" + "9" * 13]
)
async def test_what_is_not_held_or_not_there_is_not_found(store: InboxStore, path: str) -> None:
    small = InboxStore(keep=1, keep_bytes=10**9)
    put_mail(small)
    put_text(small)
    put_mail(small)

    assert (await ask(small, f"{MESSAGES}{path}")).status_code == 404


@pytest.mark.parametrize("path", ["/", MESSAGES, f"{MESSAGES}/1"])
async def test_what_is_shown_is_only_read(store: InboxStore, path: str) -> None:
    answer = await ask(store, path, "DELETE")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def hostile_mails() -> Sequence[bytes]:
    return (
        b"",
        b"\xff" * 1000,
        b"Subject: " + b"x" * 100_000 + b"\r\n\r\n",
        b"Subject: a\r\nBcc: injected@example.com\r\n\r\n",
        b"X: y\r\n" * 5000 + b"\r\nmany headers",
        b"Content-Type: text/html; charset=utf-7\r\n\r\n+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
        b"Content-Type: text/html\r\n\r\n" + b"<style" * 100_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 2000,
        b'Content-Type: text/plain; name="\x00\xff"; charset="\xff"\r\n\r\n\xfe',
    )


@pytest.mark.parametrize("raw", hostile_mails())
async def test_a_hostile_mail_is_listed_and_opened_like_any_other(store: InboxStore, raw: bytes) -> None:
    store.add_mail(ReceivedMail(sender="\udcff", recipients=("a@b.co",), at=0.0, raw=raw))
    row = (await listed(store))["messages"][0]
    opened = (await ask(store, f"{MESSAGES}/1")).json()
    source = await ask(store, f"{MESSAGES}/1/source")

    assert max(len(row[name]) for name in ("from", "to", "subject", "snippet")) <= 200
    assert len(opened["headers"]) <= 500
    assert source.content == raw


# Who may change it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://inbox", "http://inbox:9999", "null", "x", "http://["]
)
@pytest.mark.parametrize(("method", "path"), [("DELETE", "/api/v1/inbox"), ("PUT", "/api/v1/inbox/outage")])
async def test_a_page_of_another_site_changes_nothing(
    store: InboxStore, origin: str, method: str, path: str
) -> None:
    put_mail(store)
    answer = await ask(store, path, method, origin=origin)

    assert (answer.status_code, answer.json()["type"]) == (403, "urn:herald:problem:foreign-origin")
    assert store.emails_total == 1


@pytest.mark.parametrize("headers", [{}, {"origin": "http://inbox:8025"}, {"origin": "https://INBOX:8025"}])
async def test_its_own_page_and_programs_do(store: InboxStore, headers: dict[str, str]) -> None:
    put_mail(store)
    answer = await ask(store, "/api/v1/inbox", "DELETE", **headers)

    assert (answer.status_code, store.emails_total) == (204, 0)


async def test_the_page_is_one_document_that_may_show_its_own_frames_alone(store: InboxStore) -> None:
    answer = await ask(store, "/")
    policy = answer.headers["content-security-policy"]

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "frame-src 'self'" in policy
    assert "unsafe" not in policy
    assert " src=" not in answer.text[: answer.text.index("<script")]
