"""TLS and login, against a real server on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from adapters.email_address import ascii_domain
from adapters.smtp import SmtpEmailSender, SmtpServer
from domain.outcome import ChannelDown, Delivered, Outcome, Uncertain
from domain.ports import Mail
from tests.smtp_server import CLOSE, HANG, Answer, SmtpTestServer, raw, say
from tests.tls_certificate import make_certificate

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
Tls = Literal["none", "starttls", "tls"]

MAIL = Mail(to="jo@x.test", subject="one", text="t\n", html="<p>", message_id="<i@x.test>", date=0.0)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def server(contexts: Contexts) -> AsyncIterator[SmtpTestServer]:
    async with SmtpTestServer(tls=contexts[0]) as running:
        yield running


def sender_to(
    server: SmtpTestServer,
    tls: Tls,
    *,
    trusting: ssl.SSLContext | None = None,
    password: str = "",
    data_seconds: float = 5.0,
) -> SmtpEmailSender:
    settings = SmtpServer(
        host="127.0.0.1",
        port=server.port,
        sender="a@x.test",
        tls=tls,
        username="user" if password else "",
        password=password,
        timeout_seconds=5.0,
        data_timeout_seconds=data_seconds,
    )
    return SmtpEmailSender(settings, ascii_domain, tls_context=trusting)


async def send(
    server: SmtpTestServer, tls: Tls, *, trusting: ssl.SSLContext | None = None, password: str = ""
) -> Outcome:
    async with sender_to(server, tls, trusting=trusting, password=password) as sender:
        outcome = await sender.send(MAIL)
    for _ in range(5):  # TLS says goodbye after the sender has gone
        await asyncio.sleep(0)
    return outcome


async def test_a_mail_goes_over_starttls(server: SmtpTestServer, contexts: Contexts) -> None:
    outcome = await send(server, "starttls", trusting=contexts[1])

    assert isinstance(outcome, Delivered)
    assert [line.split(" ")[0] for line in server.commands[:4]] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]


async def test_a_mail_goes_over_tls_from_the_first_byte(contexts: Contexts) -> None:
    async with SmtpTestServer(tls=contexts[0], tls_at_once=True) as server:
        outcome = await send(server, "tls", trusting=contexts[1])

    assert isinstance(outcome, Delivered)
    assert "STARTTLS" not in server.commands


LONG = say(*(f"250-2.1.5 line {number}" for number in range(300)), "250 2.1.5 ok")


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
async def test_an_answer_is_read_as_it_was_said_however_the_network_cuts_it(
    contexts: Contexts, tls: Tls
) -> None:
    # Over TLS asyncio goes on reading, record by record, into what it was given for the first one.
    async with SmtpTestServer(tls=contexts[0], tls_at_once=tls == "tls", in_octets=True) as server:
        server.next("RCPT", LONG)
        outcome = await send(server, tls, trusting=contexts[1])

    assert outcome == Delivered("Ok: queued as Q1")


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
async def test_leaving_does_not_wait_for_a_server_that_says_nothing(contexts: Contexts, tls: Tls) -> None:
    # TLS would be ended by both sides, for which asyncio waits half a minute.
    async with SmtpTestServer(tls=contexts[0], tls_at_once=tls == "tls", always={"content": HANG}) as server:
        async with sender_to(server, tls, trusting=contexts[1], data_seconds=60.0) as sender:
            on_its_way = asyncio.ensure_future(sender.send(MAIL))
            await server.saw("content")

        async with asyncio.timeout(5.0):
            outcome = await on_its_way

    assert outcome == Uncertain("the final dot: Connection lost")


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_that_is_not_trusted_is_the_channels_and_nothing_is_sent(
    contexts: Contexts, tls: Tls
) -> None:
    async with SmtpTestServer(tls=contexts[0], tls_at_once=tls == "tls") as server:
        outcome = await send(server, tls)

    assert isinstance(outcome, ChannelDown)
    assert "certificate verify failed" in outcome.reason
    assert server.count("MAIL") == 0


async def test_a_server_that_does_not_offer_starttls_gets_nothing_in_the_clear() -> None:
    async with SmtpTestServer() as server:
        outcome = await send(server, "starttls")

    assert outcome == ChannelDown("STARTTLS: SMTP STARTTLS extension not supported by server.")
    assert server.count("MAIL") == 0


@pytest.mark.parametrize("answer", [say("454 4.7.0 TLS not available"), say("554 no"), CLOSE, raw(b"?\r\n")])
async def test_a_starttls_that_fails_is_the_channels(
    server: SmtpTestServer, contexts: Contexts, answer: Answer
) -> None:
    server.always["STARTTLS"] = answer

    outcome = await send(server, "starttls", trusting=contexts[1])

    assert isinstance(outcome, ChannelDown)
    assert not outcome.certain


@pytest.mark.parametrize("garbage", [b"no handshake at all", b"\x16\x03\x03\x00\x04half"])
async def test_a_handshake_that_fails_after_the_answer_to_starttls_is_the_channels(
    contexts: Contexts, garbage: bytes
) -> None:
    async with SmtpTestServer(extensions=("STARTTLS",)) as server:
        server.next("STARTTLS", raw(b"220 go ahead\r\n"))
        sending = asyncio.ensure_future(send(server, "starttls", trusting=contexts[1]))
        await server.saw("STARTTLS")
        await asyncio.sleep(0.02)  # the handshake has begun
        server.write(garbage)
        server.drop_connections()
        outcome = await sending

    assert isinstance(outcome, ChannelDown)
    assert outcome.reason.startswith("STARTTLS: ")
    assert server.count("MAIL") == 0


async def test_what_was_said_before_tls_is_not_taken_for_an_answer_over_tls(
    server: SmtpTestServer, contexts: Contexts
) -> None:
    # Somebody in between may slip in an answer in the clear (CVE-2011-0411).
    server.next("STARTTLS", raw(b"220 go ahead\r\n250 slipped in\r\n"))

    outcome = await send(server, "starttls", trusting=contexts[1])

    assert outcome == Delivered("Ok: queued as Q1")
    assert server.count("EHLO") == 2


@pytest.mark.parametrize("phase", ["STARTTLS", "AUTH"])
async def test_a_cancel_while_the_connection_is_prepared_ends_it(contexts: Contexts, phase: str) -> None:
    async with SmtpTestServer(tls=contexts[0], password="s3cret") as server:
        server.next(phase, HANG)
        cancelled = asyncio.ensure_future(send(server, "starttls", trusting=contexts[1], password="s3cret"))
        await server.saw(phase)
        cancelled.cancel()
        await asyncio.wait([cancelled])

        outcome = await send(server, "starttls", trusting=contexts[1], password="s3cret")

    assert cancelled.cancelled()
    assert isinstance(outcome, Delivered)


@pytest.mark.parametrize("offered", ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2 CRAM-MD5 LOGIN PLAIN"])
async def test_the_right_password_opens_by_each_way_that_is_offered(offered: str) -> None:
    async with SmtpTestServer(password="s3cret", extensions=(f"AUTH {offered}",)) as server:
        outcome = await send(server, "none", password="s3cret")

    assert isinstance(outcome, Delivered)


@pytest.mark.parametrize("offered", ["PLAIN", "LOGIN", "CRAM-MD5", "PLAIN LOGIN CRAM-MD5"])
async def test_a_wrong_password_is_certain_and_is_tried_once(offered: str) -> None:
    async with SmtpTestServer(password="s3cret", extensions=(f"AUTH {offered}",)) as server:
        outcome = await send(server, "none", password="wrong")

    assert outcome == ChannelDown("AUTH: 535 5.7.8 wrong password", certain=True)
    assert server.count("AUTH") == 1


async def test_a_way_to_log_in_that_is_refused_gives_way_to_the_next() -> None:
    async with SmtpTestServer(password="s3cret") as server:
        server.next("AUTH", say("504 5.5.4 unrecognized authentication type"))
        outcome = await send(server, "none", password="s3cret")

    assert isinstance(outcome, Delivered)
    assert [line.split(" ")[1] for line in server.commands if line.startswith("AUTH")] == ["PLAIN", "LOGIN"]


@pytest.mark.parametrize("extensions", [(), ("AUTH XOAUTH2",)])
async def test_a_server_without_a_way_to_log_in_is_certain(extensions: tuple[str, ...]) -> None:
    async with SmtpTestServer(extensions=extensions) as server:
        outcome = await send(server, "none", password="s3cret")

    assert outcome == ChannelDown(
        "AUTH: 504 the server takes none of AUTH PLAIN, LOGIN and CRAM-MD5", certain=True
    )


async def test_a_login_that_is_broken_for_now_is_not_certain() -> None:
    async with SmtpTestServer(password="s3cret") as server:
        server.next("AUTH", say("454 4.7.0 temporary authentication failure"))
        outcome = await send(server, "none", password="s3cret")

    assert outcome == ChannelDown("AUTH: 454 4.7.0 temporary authentication failure")


async def test_a_challenge_that_is_no_base64_is_the_channels() -> None:
    async with SmtpTestServer(extensions=("AUTH CRAM-MD5",), password="s3cret") as server:
        server.challenge = b"334 abc\r\n"
        outcome = await send(server, "none", password="s3cret")

    assert outcome == ChannelDown("AUTH: 334 Invalid CRAM-MD5 challenge from server: 'abc'")
