"""Trouble that takes senders a while: silence at every step, cancels and lost connections in a crowd."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest

from adapters.email_address import ascii_domain
from adapters.http_sms import HttpSmsSender, SmsProvider
from adapters.smtp import SmtpEmailSender, SmtpServer
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.ports import Mail, Text
from tests.sms_provider import SmsTestProvider, answer
from tests.smtp_server import HANG, Answer, SmtpTestServer, raw, say
from tests.tls_certificate import make_certificate

CROWD = 400


def mail(name: str, to: str = "jo@example.org") -> Mail:
    return Mail(to=to, subject=name, text="t\n", html="<p>", message_id=f"<{name}@x.test>", date=0.0)


def text(name: str) -> Text:
    return Text(to="+15005550001", body=name, idempotency_key=name)


def smtp(port: int, seconds: float = 5.0, *, password: str = "", connections: int = 8) -> SmtpServer:
    return SmtpServer(
        host="127.0.0.1",
        port=port,
        sender="a@x.test",
        username="user" if password else "",
        password=password,
        connections=connections,
        timeout_seconds=seconds,
        data_timeout_seconds=seconds,
    )


@pytest.mark.parametrize("silence", [HANG, raw(b"25", "hang"), raw(b"250-more\r\n", "hang")])
@pytest.mark.parametrize("phase", ["connect", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"])
async def test_silence_before_the_mail_was_written_is_the_channels(phase: str, silence: Answer) -> None:
    async with (
        SmtpTestServer(password="s3cret", always={phase: silence}) as server,
        SmtpEmailSender(smtp(server.port, 0.3, password="s3cret"), ascii_domain) as sender,
    ):
        outcome = await sender.send(mail("one"))

    assert outcome == ChannelDown(f"{phase.replace('connect', 'connecting')}: no answer in time")


@pytest.mark.parametrize("silence", [HANG, raw(b"25", "hang"), raw(b"250-more\r\n", "hang")])
async def test_silence_after_the_mail_was_written_is_uncertain(silence: Answer) -> None:
    async with (
        SmtpTestServer(always={"content": silence}) as server,
        SmtpEmailSender(smtp(server.port, 0.3), ascii_domain) as sender,
    ):
        outcome = await sender.send(mail("one"))

    assert outcome == Uncertain("the final dot: no answer in time")


async def test_silence_at_starttls_is_the_channels(tmp_path_factory: pytest.TempPathFactory) -> None:
    for_server, trusting = make_certificate(tmp_path_factory.mktemp("tls"))
    async with SmtpTestServer(tls=for_server, always={"STARTTLS": HANG}) as server:
        settings = SmtpServer(
            host="127.0.0.1", port=server.port, sender="a@x.test", tls="starttls", timeout_seconds=0.3
        )
        async with SmtpEmailSender(settings, ascii_domain, tls_context=trusting) as sender:
            outcome = await sender.send(mail("one"))

    assert outcome == ChannelDown("STARTTLS: no answer in time")


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA"])
async def test_a_kept_connection_that_fell_silent_is_replaced(phase: str) -> None:
    # A firewall forgets an idle connection and drops what comes over it.
    async with (
        SmtpTestServer() as server,
        SmtpEmailSender(smtp(server.port, 0.3), ascii_domain) as sender,
    ):
        await sender.send(mail("one"))
        server.next(phase, HANG)
        outcome = await sender.send(mail("two"))

    assert isinstance(outcome, Delivered)


async def test_in_a_crowd_with_cancels_every_mail_gets_its_own_answer() -> None:
    draw = random.Random(7)
    kinds = {name: draw.choice(["250", "450", "550", "cancel"]) for name in map(str, range(CROWD))}
    expected = {"250": Delivered, "450": TryAgain, "550": Refused}
    async with SmtpTestServer() as server, SmtpEmailSender(smtp(server.port), ascii_domain) as sender:
        for name, kind in kinds.items():
            server.by_recipient[f"{name}@x.test"] = say(f"{kind} said" if kind != "cancel" else "550 late")
        tasks = {name: asyncio.ensure_future(sender.send(mail(name, f"{name}@x.test"))) for name in kinds}
        for name in (name for name, kind in kinds.items() if kind == "cancel"):
            await asyncio.sleep(draw.random() / 500)
            tasks[name].cancel()
        await asyncio.wait(tasks.values())

    answered = {name: type(task.result()) for name, task in tasks.items() if kinds[name] != "cancel"}
    assert answered == {name: expected[kind] for name, kind in kinds.items() if kind != "cancel"}
    assert {one.message["Subject"] for one in server.mails} == {
        name for name, kind in kinds.items() if kind == "250"
    }


async def run_crowd(
    send: Callable[[str], Awaitable[Outcome]], shake: Callable[[], Awaitable[None]]
) -> dict[str, Outcome]:
    names = [str(number) for number in range(CROWD)]
    shaking = asyncio.ensure_future(shake())
    outcomes: Sequence[Outcome] = await asyncio.gather(*map(send, names))
    shaking.cancel()
    await asyncio.wait([shaking])
    return dict(zip(names, outcomes, strict=True))


def those(outcomes: dict[str, Outcome], kind: type) -> set[str]:
    return {name for name, outcome in outcomes.items() if isinstance(outcome, kind)}


async def test_while_connections_break_an_outcome_says_truly_whether_the_mail_was_taken() -> None:
    async with SmtpTestServer() as server, SmtpEmailSender(smtp(server.port), ascii_domain) as sender:

        async def shake() -> None:
            for mails in range(20, CROWD, 20):
                await server.saw("DATA", times=mails)
                server.drop_connections()

        outcomes = await run_crowd(lambda name: sender.send(mail(name)), shake)

    taken = {str(one.message["Subject"]) for one in server.mails}
    assert those(outcomes, Delivered) <= taken
    assert not those(outcomes, ChannelDown) & taken
    assert len(server.mails) == len(taken)
    assert len(taken) > CROWD / 10


async def test_while_the_provider_restarts_an_outcome_says_truly_whether_the_text_was_taken() -> None:
    async with SmsTestProvider(always=None) as server:
        provider = SmsProvider(
            url=server.url, account_sid="AC0", auth_token="t", sender="+15005550006", timeout_seconds=5.0
        )

        async def shake() -> None:
            for texts in range(40, CROWD, 40):
                await server.saw(requests=texts)
                await server.stop()
                await server.start()

        async with HttpSmsSender(provider) as sender:
            outcomes = await run_crowd(lambda name: sender.send(text(name)), shake)

    taken = [one.fields["Body"] for one in server.texts]
    assert those(outcomes, Delivered) <= set(taken)
    assert not those(outcomes, ChannelDown) & set(taken)
    assert len(taken) == len(set(taken))
    assert len(taken) > CROWD / 10


async def test_a_slow_provider_is_uncertain_and_its_late_answer_is_nobodys() -> None:
    async with SmsTestProvider() as server:
        provider = SmsProvider(
            url=server.url, account_sid="AC0", auth_token="t", sender="+15005550006", timeout_seconds=0.3
        )
        server.next(answer(400, {"code": 21211, "message": "late"}, seconds=0.6))
        async with HttpSmsSender(provider) as sender:
            first = await sender.send(text("one"))
            second = await sender.send(text("two"))

    assert first == Uncertain("no answer in time")
    assert isinstance(second, Delivered)
