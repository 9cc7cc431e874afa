"""Texts over HTTP, against a real server on loopback that does as it is told."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import respx

from adapters import http_sms
from adapters.http_sms import HttpSmsSender, SmsProvider
from domain.errors import HeraldError
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.ports import Text
from tests import pages
from tests.contracts.sender import RECIPIENTS, Provider, SenderContract
from tests.sms_provider import CLOSE, HANG, HttpAnswer, SmsTestProvider, answer, error
from tests.tls_certificate import make_certificate

PATIENT, QUICK = 5.0, 0.1
CONTRACT = 0.4  # short enough for the tests that wait for it, long enough for a busy machine
CREATED = b"HTTP/1.1 201 Created\r\n"


def text(body: str = "one", to: str = RECIPIENTS["sms"], key: str = "r1.transactions") -> Text:
    return Text(to=to, body=body, idempotency_key=key)


def settings_for(url: str, *, connections: int = 8, seconds: float = PATIENT) -> SmsProvider:
    return SmsProvider(
        url=url,
        account_sid="AC0",
        auth_token="s3cret",
        sender="+15005550006",
        connections=connections,
        timeout_seconds=seconds,
    )


@pytest.fixture
async def server() -> AsyncIterator[SmsTestProvider]:
    async with SmsTestProvider() as running:
        yield running


@pytest.fixture
async def sender(server: SmsTestProvider) -> AsyncIterator[HttpSmsSender]:
    async with HttpSmsSender(settings_for(server.url)) as entered:
        yield entered


class HttpProvider(Provider):
    def __init__(self, server: SmsTestProvider, sender: HttpSmsSender) -> None:
        self.server = server
        self.sender = sender

    async def send(self, name: str, *, fresh: bool = False) -> Outcome:
        return await self.sender.send(text(name), fresh=fresh)

    def received(self) -> list[str]:
        return [one.fields["Body"] for one in self.server.texts]

    def will_say_later(self) -> None:
        self.server.next(error(400, 21617, "later"))

    def will_refuse(self) -> None:
        self.server.next(error(400, 21211, "The 'To' number +15005550001 of jo.doe@example.org is not valid"))

    def takes_and_never_answers(self) -> None:
        self.server.next(HANG)

    async def has_it(self) -> None:
        await self.server.saw(requests=1)

    async def goes_away(self) -> None:
        await self.server.stop()

    async def comes_back(self) -> None:
        await self.server.start()

    async def leave(self) -> None:
        await self.sender.__aexit__(None, None, None)


class TestHttpSmsSender(SenderContract):
    @pytest.fixture
    async def provider(self, server: SmsTestProvider) -> AsyncIterator[Provider]:
        async with HttpSmsSender(settings_for(server.url, seconds=CONTRACT)) as sender:
            yield HttpProvider(server, sender)


async def test_a_text_is_posted_as_the_messages_api_wants_it(
    server: SmsTestProvider, sender: HttpSmsSender
) -> None:
    outcome = await sender.send(text("Grüße &\n+1"))

    received = server.texts[0]
    assert outcome == Delivered("SM" + "0" * 31 + "1")
    assert received.path == "POST /2010-04-01/Accounts/AC0/Messages.json HTTP/1.1"
    assert received.fields == {"To": "+15005550001", "From": "+15005550006", "Body": "Grüße &\n+1"}
    assert received.headers["content-type"] == "application/x-www-form-urlencoded"
    assert received.headers["idempotency-key"] == "r1.transactions"
    assert received.headers["authorization"] == "Basic " + base64.b64encode(b"AC0:s3cret").decode()


async def test_a_login_within_the_url_does_not_replace_the_one_of_the_settings(
    server: SmsTestProvider,
) -> None:
    async with HttpSmsSender(settings_for(server.url.replace("//", "//who:else@"))) as sender:
        await sender.send(text())

    expected = "Basic " + base64.b64encode(b"AC0:s3cret").decode()
    assert server.texts[0].headers["authorization"] == expected


async def test_texts_share_a_connection(server: SmsTestProvider, sender: HttpSmsSender) -> None:
    outcomes = [await sender.send(text(f"t{number}")) for number in range(5)]

    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert server.connections == 1


async def test_no_more_connections_are_opened_than_allowed(server: SmsTestProvider) -> None:
    async with HttpSmsSender(settings_for(server.url, connections=3)) as sender:
        outcomes = await asyncio.gather(*(sender.send(text(f"t{number}")) for number in range(20)))

    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert server.connections == 3


async def test_a_sender_that_is_entered_again_sends_again(server: SmsTestProvider) -> None:
    sender = HttpSmsSender(settings_for(server.url))
    server.next(HANG)
    async with sender:
        on_its_way = asyncio.ensure_future(sender.send(text()))
        await server.saw(requests=1)

    async with sender:
        await on_its_way
        outcome = await sender.send(text("two"))

    assert isinstance(outcome, Delivered)


async def test_texts_that_wait_for_a_connection_are_not_timed_out_by_it(server: SmsTestProvider) -> None:
    server.always = answer(201, {"sid": "SM1"}, seconds=0.05)
    async with HttpSmsSender(settings_for(server.url, connections=1, seconds=0.2)) as sender:
        outcomes = await asyncio.gather(*(sender.send(text(f"t{number}")) for number in range(6)))

    assert outcomes == [Delivered("SM1")] * 6


async def test_a_fresh_try_takes_a_new_connection(server: SmsTestProvider, sender: HttpSmsSender) -> None:
    await sender.send(text())

    outcome = await sender.send(text("two"), fresh=True)
    await sender.send(text("three"))

    assert isinstance(outcome, Delivered)
    assert server.connections == 2


@respx.mock
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (201, 0, Delivered),
        (400, 21610, Refused),
        (400, 20001, TryAgain),
        (401, 20003, ChannelDown),
        (429, 20429, ChannelDown),
        (302, 0, ChannelDown),
        (503, 0, ChannelDown),
        (504, 0, Uncertain),
    ],
)
async def test_statuses_and_codes_become_outcomes(status: int, code: int, expected: type) -> None:
    route = respx.post("https://api.example.com/base/2010-04-01/Accounts/AC0/Messages.json").respond(
        status, json={"code": code}, headers={"Location": "https://elsewhere.example.com/"}
    )
    async with HttpSmsSender(settings_for("https://api.example.com/base/")) as sender:
        outcome = await sender.send(text())

    assert isinstance(outcome, expected)
    assert route.call_count == 1


async def test_a_date_in_retry_after_is_counted_from_now(server: SmsTestProvider) -> None:
    server.next(answer(429, "", "Retry-After: Fri, 15 Jan 2027 08:00:30 GMT"))
    async with HttpSmsSender(settings_for(server.url), now=lambda: 1_800_000_000.0) as sender:
        outcome = await sender.send(text())

    assert outcome == ChannelDown("HTTP 429", 30.0)


BROKEN_ANSWERS = [
    CLOSE,
    HttpAnswer(b"HTTP/1.1 20", "close"),
    HttpAnswer(CREATED + b"Content-", "close"),
    HttpAnswer(b"\xff\x00 garbage\r\n\r\n"),
    HttpAnswer(b"220 mail.test ESMTP\r\n", "close"),
    HttpAnswer(CREATED + b"Content-Length: x\r\n\r\n"),
    HttpAnswer(CREATED + b"X: y\r\n" * 50_000),
]


@pytest.mark.parametrize("broken", BROKEN_ANSWERS)
async def test_a_broken_answer_is_uncertain_and_does_not_harm_the_next_text(
    server: SmsTestProvider, sender: HttpSmsSender, broken: HttpAnswer
) -> None:
    await sender.send(text("before"))
    server.next(broken)

    outcomes = [await sender.send(text("one")), await sender.send(text("two"))]

    assert isinstance(outcomes[0], Uncertain)
    assert isinstance(outcomes[1], Delivered)
    assert [one.fields["Body"] for one in server.texts] == ["before", "two"]


TWICE = [
    answer(201, {"sid": "SMa"}),
    HttpAnswer(CREATED + b'Transfer-Encoding: chunked\r\n\r\n10\r\n{"sid":   "SMa"}\r\n0\r\n\r\n'),
    HttpAnswer(CREATED + b'Content-Length: 14\r\n\r\n{"sid": "SMa"}'),
]


@pytest.mark.parametrize("first", TWICE)
@pytest.mark.parametrize(
    "second", [error(400, 21211, "late"), HttpAnswer(b"HTTP/1.1 4"), HttpAnswer(b"\r\n")]
)
async def test_a_second_answer_to_one_text_is_never_the_next_ones(
    server: SmsTestProvider, sender: HttpSmsSender, first: HttpAnswer, second: HttpAnswer
) -> None:
    # h11 keeps what stands behind an answer and would take it for the answer to the next request.
    server.next(HttpAnswer(first.data + second.data))

    outcomes = [await sender.send(text()), await sender.send(text("two"))]

    assert outcomes == [Delivered("SMa"), Delivered("SM" + "0" * 31 + "1")]
    assert server.connections == 2


async def test_an_answer_that_nobody_asked_for_while_the_connection_is_idle_is_nobodys(
    server: SmsTestProvider, sender: HttpSmsSender
) -> None:
    await sender.send(text())
    server.write(error(400, 21211, "late").data)
    await asyncio.sleep(0.02)

    outcome = await sender.send(text("two"))

    assert isinstance(outcome, Delivered)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("cut_short", "expected"),
    [
        (
            HttpAnswer(CREATED + b'Content-Length: 99\r\n\r\n{"sid": "SM', "close"),
            Delivered(""),
        ),
        (HttpAnswer(CREATED + b"Content-Length: 99\r\n\r\n", "hang"), Delivered("")),
        (
            HttpAnswer(b"HTTP/1.1 503 No\r\nRetry-After: 9\r\nContent-Length: 9\r\n\r\n", "hang"),
            ChannelDown("HTTP 503", 9.0),
        ),
        (HttpAnswer(b"HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\n", "hang"), TryAgain("HTTP 400")),
        (
            HttpAnswer(CREATED + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "close"),
            Delivered(""),
        ),
    ],
)
async def test_a_status_that_was_read_holds_when_the_rest_is_lost(
    server: SmsTestProvider, cut_short: HttpAnswer, expected: Outcome
) -> None:
    server.next(cut_short)
    async with HttpSmsSender(settings_for(server.url, seconds=0.3)) as sender:
        outcomes = [await sender.send(text()), await sender.send(text("two"))]

    assert outcomes[0] == expected
    assert isinstance(outcomes[1], Delivered)


async def test_an_answer_in_drips_is_bounded_as_a_whole(server: SmsTestProvider) -> None:
    server.always = HttpAnswer(b"HTTP/1.1 201 Created\r\nX: " + b"y" * 5000, drip=0.01)
    async with HttpSmsSender(settings_for(server.url, seconds=QUICK)) as sender, asyncio.timeout(2.0):
        outcome = await sender.send(text())

    assert isinstance(outcome, Uncertain)


async def test_an_endless_answer_is_not_read_to_its_end(
    server: SmsTestProvider, sender: HttpSmsSender
) -> None:
    body = json.dumps({"sid": "SM1"}).encode() + b" " * 5_000_000
    server.next(HttpAnswer(CREATED + b"Content-Length: 99999999\r\n\r\n" + body, "hang"))

    outcome = await sender.send(text())

    assert outcome == Delivered("SM1")


@pytest.mark.parametrize(
    "early", [CLOSE, HttpAnswer(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "close")]
)
async def test_a_server_that_speaks_or_closes_before_it_is_asked_took_nothing(
    server: SmsTestProvider, sender: HttpSmsSender, early: HttpAnswer
) -> None:
    server.on_connect = early

    outcome = await sender.send(text())

    assert isinstance(outcome, ChannelDown | Uncertain)
    assert server.requests == []


async def test_a_kept_connection_that_the_server_closed_is_replaced(
    server: SmsTestProvider, sender: HttpSmsSender
) -> None:
    await sender.send(text())
    await server.stop()
    await server.start()

    outcome = await sender.send(text("two"))

    assert isinstance(outcome, Delivered)
    assert server.connections == 2


async def test_a_closed_port_is_the_channels(server: SmsTestProvider) -> None:
    await server.stop()
    async with HttpSmsSender(settings_for(server.url)) as sender:
        outcome = await sender.send(text())

    assert isinstance(outcome, ChannelDown)
    assert outcome.reason.startswith("cannot connect:")


async def test_tls_is_spoken_and_checked(tmp_path_factory: pytest.TempPathFactory) -> None:
    for_server, trusting = make_certificate(tmp_path_factory.mktemp("tls"))
    async with SmsTestProvider(tls=for_server) as server:
        async with HttpSmsSender(settings_for(server.url), tls_context=trusting) as sender:
            trusted = await sender.send(text())
        async with HttpSmsSender(settings_for(server.url)) as sender:
            untrusted = await sender.send(text("two"))

    assert isinstance(trusted, Delivered)
    assert isinstance(untrusted, ChannelDown)
    assert "certificate verify failed" in untrusted.reason


async def test_tls_that_is_never_answered_is_the_channels() -> None:
    async with SmsTestProvider(on_connect=HANG) as server:
        url = server.url.replace("http://", "https://")
        async with HttpSmsSender(settings_for(url, seconds=QUICK)) as sender:
            outcome = await sender.send(text())

    assert isinstance(outcome, ChannelDown)


async def test_a_cancelled_texts_answer_never_reaches_the_next(
    server: SmsTestProvider, sender: HttpSmsSender
) -> None:
    server.next(error(400, 21211, "late"))
    cancelled = asyncio.ensure_future(sender.send(text()))
    await server.saw(requests=1)
    cancelled.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await cancelled

    outcome = await sender.send(text("two"))

    assert cancelled.cancelled()
    assert isinstance(outcome, Delivered)


async def test_a_cancel_at_any_moment_leaves_no_connection_behind(server: SmsTestProvider) -> None:
    async with HttpSmsSender(settings_for(server.url, connections=1)) as sender:
        for turns in range(80):  # of the event loop, of which one text takes some thirty
            sending = asyncio.ensure_future(sender.send(text()))
            for _ in range(turns):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait([sending])
        await sender.send(text())

        async with asyncio.timeout(5.0):
            await server.has_at_most(connections=1)


@pytest.mark.parametrize("broken", [text(key="r1\r\nX: y"), text(key="a\x00b")])
async def test_a_header_cannot_be_slipped_in(
    server: SmsTestProvider, sender: HttpSmsSender, broken: Text
) -> None:
    outcomes = [await sender.send(broken), await sender.send(text("two"))]

    assert outcomes[0] == Refused("the text cannot be written as an HTTP request")
    assert isinstance(outcomes[1], Delivered)
    assert [one.fields["Body"] for one in server.requests] == ["two"]


@pytest.mark.parametrize("broken", [text("\ud800"), text(key="ü\ud800"), text(to="\udcff")])
async def test_what_has_no_utf_8_form_is_refused(
    server: SmsTestProvider, sender: HttpSmsSender, broken: Text
) -> None:
    outcome = await sender.send(broken)

    assert isinstance(outcome, Refused)
    assert server.requests == []


async def test_an_exception_of_the_library_that_nobody_expects_is_an_outcome_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with respx.mock:
        respx.post(url__startswith="http://127.0.0.1").mock(side_effect=RuntimeError("handler is closed"))
        async with HttpSmsSender(settings_for("http://127.0.0.1:1")) as sender:
            outcome = await sender.send(text())

    assert outcome == ChannelDown("RuntimeError handler is closed")
    assert caplog.messages == ["the SMS provider made the HTTP library fail: RuntimeError"]


async def test_a_sender_that_was_left_sends_nothing_any_more(server: SmsTestProvider) -> None:
    sender = HttpSmsSender(settings_for(server.url))
    async with sender:
        await sender.send(text())

    outcome = await sender.send(text("two"))

    assert outcome == ChannelDown("the sender is closed")


@pytest.mark.parametrize("url", ["", "api.example.com", "ftp://api.example.com", "http://", "http://x:y"])
def test_a_url_that_is_none_is_an_error_at_once(url: str) -> None:
    with pytest.raises(
        HeraldError, match=r"^sms.url '.*' is not a URL: write it as https://api.example.com\Z"
    ):
        HttpSmsSender(settings_for(url))


def test_the_settings_page_says_how_long_a_connection_is_kept() -> None:
    assert f"none is used again after {http_sms._KEEP_ALIVE_SECONDS:.0f} s idle" in pages.page("settings.md")


def test_a_token_is_never_shown() -> None:
    assert "s3cret" not in repr(settings_for("https://api.example.com"))


@pytest.mark.parametrize(
    ("url", "asks_the_environment"),
    [
        ("http://127.0.0.1:8026", False),
        ("http://[::1]:8026", False),
        ("http://localhost:8026", False),
        ("http://inbox.localhost", False),
        ("https://api.example.com", True),
        ("https://10.0.0.1", True),
    ],
)
async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    url: str,
    asks_the_environment: bool,  # noqa: FBT001 - a parameter
) -> None:
    sender = HttpSmsSender(settings_for(url))

    async with sender:
        client = sender._new_client()

    assert client.trust_env is asks_the_environment


@pytest.mark.parametrize("fresh", [False, True])
async def test_leaving_does_not_wait_for_a_provider_that_says_nothing(
    server: SmsTestProvider,
    fresh: bool,  # noqa: FBT001 - a parameter
) -> None:
    server.next(HANG)
    async with HttpSmsSender(settings_for(server.url, seconds=60.0)) as sender:
        on_its_way = asyncio.ensure_future(sender.send(text(), fresh=fresh))
        await server.saw(requests=1)

    async with asyncio.timeout(5.0):
        outcome = await on_its_way

    assert isinstance(outcome, Uncertain)
