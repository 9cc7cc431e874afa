"""Mail over SMTP, against a real server on loopback that does as it is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from adapters.email_address import ascii_domain
from adapters.smtp import KeepAlive, SmtpEmailSender, SmtpServer, sender_domain
from domain.errors import HeraldError
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.ports import Mail
from tests import pages
from tests.contracts.sender import RECIPIENTS, Provider, SenderContract
from tests.smtp_server import CLOSE, HANG, Answer, SmtpTestServer, raw, say, say_and_close

PATIENT, QUICK = 5.0, 0.1
CONTRACT = 0.4  # short enough for the tests that wait for it, long enough for a busy machine


DEFAULT = KeepAlive()


def mail(name: str = "one", to: str = RECIPIENTS["email"], text: str = "Paid\n") -> Mail:
    return Mail(
        to=to,
        subject=name,
        text=text,
        html="<p>Paid</p>",
        message_id=f"<{name}.t@herald.localhost>",
        date=1_800_000_000.0,
    )


def sender_to(
    server: SmtpTestServer,
    *,
    connections: int = 4,
    seconds: float = PATIENT,
    data_seconds: float = PATIENT,
    keep_alive: KeepAlive = DEFAULT,
    now: Callable[[], float] = lambda: 0.0,
) -> SmtpEmailSender:
    settings = SmtpServer(
        host="127.0.0.1",
        port=server.port,
        sender="Herald <no-reply@herald.localhost>",
        connections=connections,
        timeout_seconds=seconds,
        data_timeout_seconds=data_seconds,
    )
    return SmtpEmailSender(
        settings, ascii_domain, local_hostname="herald.test", keep_alive=keep_alive, now=now
    )


@pytest.fixture
async def server() -> AsyncIterator[SmtpTestServer]:
    async with SmtpTestServer() as running:
        yield running


@pytest.fixture
async def sender(server: SmtpTestServer) -> AsyncIterator[SmtpEmailSender]:
    async with sender_to(server) as entered:
        yield entered


class SmtpProvider(Provider):
    def __init__(self, server: SmtpTestServer, sender: SmtpEmailSender) -> None:
        self.server = server
        self.sender = sender

    async def send(self, name: str, *, fresh: bool = False) -> Outcome:
        return await self.sender.send(mail(name), fresh=fresh)

    def received(self) -> list[str]:
        return [one.message["Subject"] for one in self.server.mails]

    def will_say_later(self) -> None:
        self.server.next("RCPT", say("450 4.7.1 <jo.doe@example.org>: greylisted"))

    def will_refuse(self) -> None:
        self.server.next("RCPT", say("550 5.1.1 <jo.doe@example.org>: no such user +15005550001"))

    def takes_and_never_answers(self) -> None:
        self.server.next("content", HANG)

    async def has_it(self) -> None:
        await self.server.saw("content")

    async def goes_away(self) -> None:
        await self.server.stop()

    async def comes_back(self) -> None:
        await self.server.start()

    async def leave(self) -> None:
        await self.sender.__aexit__(None, None, None)


class TestSmtpEmailSender(SenderContract):
    @pytest.fixture
    async def provider(self, server: SmtpTestServer) -> AsyncIterator[Provider]:
        async with sender_to(server, data_seconds=CONTRACT) as sender:
            yield SmtpProvider(server, sender)


async def test_a_mail_arrives_with_envelope_headers_and_bodies(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    outcome = await sender.send(mail(text="Grüße\n.\n..two\n.end"))

    received = server.mails[0]
    text = received.message.get_body(("plain",))
    assert outcome == Delivered("Ok: queued as Q1")
    assert received.sender == "FROM:<no-reply@herald.localhost> BODY=8BITMIME"
    assert received.recipient == "TO:<jo.doe@example.org>"
    assert received.message["Message-ID"] == "<one.t@herald.localhost>"
    assert text is not None
    assert text.get_content().replace("\r\n", "\n") == "Grüße\n.\n..two\n.end\n"
    assert server.commands[0] == "EHLO herald.test"


async def test_mails_share_a_connection_one_after_the_other(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    outcomes = [await sender.send(mail(f"m{number}")) for number in range(5)]

    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert server.connections == 1
    assert server.count("RSET") == 0


async def test_no_more_connections_are_opened_than_allowed(server: SmtpTestServer) -> None:
    async with sender_to(server, connections=3) as sender:
        outcomes = await asyncio.gather(*(sender.send(mail(f"m{number}")) for number in range(20)))

    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert server.connections == 3


@pytest.mark.parametrize("phase", ["RCPT", "DATA", "content"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (say("450 4.2.1 mailbox busy"), TryAgain),
        (say("451 local error"), TryAgain),
        (say("452-4.2.2 over", "452 4.2.2 quota"), TryAgain),
        (say("550 5.1.1 no such user"), Refused),
        (say("554 no"), Refused),
    ],
)
async def test_a_reply_about_the_message_leaves_the_connection_for_the_next(
    server: SmtpTestServer, sender: SmtpEmailSender, phase: str, answer: Answer, expected: type
) -> None:
    server.next(phase, answer)

    first, second = [await sender.send(mail()), await sender.send(mail("two"))]

    assert isinstance(first, expected)
    assert isinstance(second, Delivered)
    assert server.connections == 1


@pytest.mark.parametrize("phase", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "content"])
@pytest.mark.parametrize(
    "answer",
    [
        say("421 4.3.2 shutting down"),
        say_and_close("421 bye"),
        say("454 Throttling failure"),
        say("450 4.3.1 system storage"),
        say("554 5.3.0 broken"),
    ],
)
async def test_a_reply_about_the_server_is_the_channels_and_the_next_mail_is_sent_afresh(
    server: SmtpTestServer, sender: SmtpEmailSender, phase: str, answer: Answer
) -> None:
    server.next(phase, answer)

    first, second = [await sender.send(mail()), await sender.send(mail("two"))]

    assert isinstance(first, ChannelDown)
    assert not first.certain
    assert isinstance(second, Delivered)
    assert server.connections == 2


@pytest.mark.parametrize("phase", ["connect", "EHLO", "MAIL"])
@pytest.mark.parametrize("code", ["450", "550", "503"])
async def test_any_refusal_up_to_mail_is_the_channels(
    server: SmtpTestServer, sender: SmtpEmailSender, phase: str, code: str
) -> None:
    server.always[phase] = say(f"{code} no")

    outcome = await sender.send(mail())

    assert outcome == ChannelDown(f"{phase.replace('connect', 'connecting')}: {code} no")


BROKEN_ANSWERS = [
    CLOSE,
    raw(b"250 2.0.0 half of an ans", "close"),
    raw(b"250-first line of more\r\n", "close"),
    raw(b"\xff\xfe\x00 garbage \xf0\x28\r\n"),
    raw(b"\r\n"),
    raw(b"000 zero\r\n"),
    raw(b"999 nine\r\n"),
    raw(b"25\r\n"),
    raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", "close"),
    raw(b"x" * 40_000 + b"\r\n"),
    raw(b"250-on\r\n" * 5_000),
]


@pytest.mark.parametrize("phase", ["connect", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", BROKEN_ANSWERS)
async def test_a_broken_answer_before_the_mail_was_written_is_the_channels(
    server: SmtpTestServer, sender: SmtpEmailSender, phase: str, answer: Answer
) -> None:
    server.next(phase, answer)

    first, second = [await sender.send(mail()), await sender.send(mail("two"))]

    assert isinstance(first, ChannelDown)
    assert isinstance(second, Delivered)
    assert [one.message["Subject"] for one in server.mails] == ["two"]


@pytest.mark.parametrize("answer", BROKEN_ANSWERS)
async def test_a_broken_answer_to_the_final_dot_is_uncertain(
    server: SmtpTestServer, sender: SmtpEmailSender, answer: Answer
) -> None:
    server.next("content", answer)

    first, second = [await sender.send(mail()), await sender.send(mail("two"))]

    assert isinstance(first, Uncertain)
    assert first.reason.startswith("the final dot: ")
    assert isinstance(second, Delivered)


@pytest.mark.parametrize(
    "answer",
    [
        say("2500 a digit too many"),
        say("250-two codes", "550 in one reply"),
        say("550-two codes", "250 in one reply"),
    ],
)
@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "content"])
async def test_a_reply_with_two_codes_or_a_wrong_one_says_neither(
    server: SmtpTestServer, sender: SmtpEmailSender, phase: str, answer: Answer
) -> None:
    server.next(phase, answer)

    first, second = [await sender.send(mail()), await sender.send(mail("two"))]

    assert isinstance(first, Uncertain if phase == "content" else ChannelDown)
    assert "an answer that is not SMTP" in first.reason
    assert isinstance(second, Delivered)


@pytest.mark.parametrize("phase", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [CLOSE, say_and_close("421 timeout"), raw(b"garbage\r\n")])
async def test_a_kept_connection_that_had_died_costs_nothing(
    server: SmtpTestServer, sender: SmtpEmailSender, phase: str, answer: Answer
) -> None:
    await sender.send(mail())
    server.next(phase, answer)

    outcome = await sender.send(mail("two"))

    assert isinstance(outcome, Delivered)
    assert [one.message["Subject"] for one in server.mails] == ["one", "two"]
    assert server.connections == 2


@pytest.mark.parametrize("answer", [say("450 4.7.1 too many mails over one connection"), say("550 5.5.0 no")])
async def test_a_refusal_of_mail_over_a_kept_connection_is_asked_again_over_a_new_one(
    server: SmtpTestServer, sender: SmtpEmailSender, answer: Answer
) -> None:
    await sender.send(mail())
    server.next("MAIL", answer)

    outcome = await sender.send(mail("two"))

    assert isinstance(outcome, Delivered)
    assert (server.connections, server.count("MAIL")) == (2, 3)


async def test_a_mail_is_not_sent_again_at_once_when_it_was_written_over_a_kept_connection(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    await sender.send(mail())
    server.next("content", CLOSE)

    outcome = await sender.send(mail("two"))

    assert isinstance(outcome, Uncertain)
    assert server.connections == 1


@pytest.mark.parametrize("answer", [say("421 4.3.2 shutting down"), say("450 4.3.1 storage")])
async def test_a_server_that_says_no_to_a_kept_connections_mail_is_believed(
    server: SmtpTestServer, sender: SmtpEmailSender, answer: Answer
) -> None:
    await sender.send(mail())
    server.next("content", answer)

    outcome = await sender.send(mail("two"))

    assert isinstance(outcome, ChannelDown)
    assert server.connections == 1


async def test_a_server_that_ends_its_connections_between_mails_is_not_noticed(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    server.always["content"] = say_and_close("250 ok")

    outcomes = [await sender.send(mail(f"m{number}")) for number in range(4)]

    assert outcomes == [Delivered()] * 4
    assert server.connections == 4


async def test_a_lone_421_between_mails_is_not_taken_for_an_answer(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    server.next("content", raw(b"250 ok\r\n421 idle too long\r\n"))

    outcomes = [await sender.send(mail()), await sender.send(mail("two"))]

    assert outcomes == [Delivered(), Delivered("Ok: queued as Q2")]


@pytest.mark.parametrize("phase", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_two_replies_to_one_command_are_never_paired_with_the_next_one(
    server: SmtpTestServer, sender: SmtpEmailSender, phase: str
) -> None:
    # What stands behind a reply would be taken for the answer to the next command: a 550 would then be read
    # as the 250 before it.
    code = {"DATA": b"354"}.get(phase, b"250")
    server.next(phase, raw(code + b" ok\r\n250 ok\r\n"))
    server.next("content", say("550 no"))

    outcome = await sender.send(mail())

    assert isinstance(outcome, ChannelDown | Refused)
    assert server.mails == []


async def test_an_answer_in_many_pieces_is_one_answer(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    server.next("RCPT", raw(b"250-2.1.5 first\r\n250"))

    async def complete() -> None:
        await server.saw("RCPT")
        server.write(b" second\r\n")

    outcome, _ = await asyncio.gather(sender.send(mail()), complete())

    assert isinstance(outcome, Delivered)


async def test_a_reset_that_fails_costs_the_connection_and_not_the_answer(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    server.next("RCPT", say("550 5.1.1 no such user"))
    server.next("RSET", say("500 what?"))

    outcomes = [await sender.send(mail()), await sender.send(mail("two"))]

    assert outcomes == [Refused("RCPT: 550 5.1.1 no such user"), Delivered("Ok: queued as Q1")]
    assert server.connections == 2


async def test_a_cancel_that_comes_together_with_a_reply_is_obeyed(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    # Python 3.11's wait_for returned the reply and forgot the cancel: the mail went on for a minute.
    server.next("content", HANG)
    cancelled = asyncio.ensure_future(sender.send(mail()))
    await server.saw("DATA")
    cancelled.cancel()

    await asyncio.wait([cancelled])

    assert cancelled.cancelled()


@pytest.mark.parametrize(
    ("phase", "begun"), [("connect", 1), ("EHLO", 1), ("MAIL", 2), ("RCPT", 2), ("DATA", 2), ("content", 2)]
)
async def test_a_cancelled_mails_answer_never_reaches_the_next_mail(
    server: SmtpTestServer, phase: str, begun: int
) -> None:
    # A connection put back after a cancel would hand this late refusal to the mail that follows.
    server.next(phase, say("550 5.1.1 late", seconds=0.05))
    async with sender_to(server) as sender:
        cancelled = asyncio.ensure_future(sender.send(mail()))
        await server.saw(phase)
        cancelled.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await cancelled

        outcome = await sender.send(mail("two"))

    assert cancelled.cancelled()
    assert isinstance(outcome, Delivered)
    assert server.count("MAIL") == begun, "the cancelled mail's connection was asked again"
    assert [one.message["Subject"] for one in server.mails][-1] == "two"


async def test_a_cancel_while_the_refused_mail_is_forgotten_costs_the_connection(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    server.next("RCPT", say("550 5.1.1 no such user"))
    server.next("RSET", say("550 5.1.1 late", seconds=0.05))
    cancelled = asyncio.ensure_future(sender.send(mail()))
    await server.saw("RSET")
    cancelled.cancel()
    await asyncio.wait([cancelled])

    outcome = await sender.send(mail("two"))

    assert cancelled.cancelled()
    assert isinstance(outcome, Delivered)
    assert server.connections == 2


async def test_an_answer_that_nobody_asked_for_while_the_connection_is_idle_is_nobodys(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    await sender.send(mail())
    server.write(b"550 5.1.1 late\r\n")
    await asyncio.sleep(0.02)

    outcome = await sender.send(mail("two"))

    assert isinstance(outcome, Delivered)
    assert server.connections == 2


async def test_two_answers_to_the_final_dot_count_as_the_first_and_cost_the_connection(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    server.next("content", raw(b"550 5.7.1 spam\r\n550 5.7.1 spam\r\n"))

    outcomes = [await sender.send(mail()), await sender.send(mail("two"))]

    assert outcomes == [Refused("the final dot: 550 5.7.1 spam"), Delivered("Ok: queued as Q1")]
    assert server.connections == 2


async def test_a_connection_on_which_a_refused_mail_is_not_yet_written_is_not_used_again(
    server: SmtpTestServer,
) -> None:
    # The next mail's commands would stand behind, or in, what is left of it.
    server.next("DATA", Answer(b"354 go on\r\n", "hang", late=b"552 5.2.3 too long\r\n"))

    async with sender_to(server, seconds=60.0, data_seconds=60.0) as sender, asyncio.timeout(PATIENT):
        outcomes = [await sender.send(mail(text="Paid\n" * 2_000_000)), await sender.send(mail("two"))]

    assert [type(outcome) for outcome in outcomes] == [Refused, Delivered]


async def test_cancelling_frees_the_place_for_the_next(server: SmtpTestServer) -> None:
    server.next("content", HANG)
    async with sender_to(server, connections=1) as sender:
        first = asyncio.ensure_future(sender.send(mail()))
        waiting = asyncio.ensure_future(sender.send(mail("two")))
        await server.saw("content")
        first.cancel()

        outcome = await waiting

    assert isinstance(outcome, Delivered)


async def test_a_listener_that_never_answers_is_given_up_in_the_time_for_connecting() -> None:
    server = SmtpTestServer(always={"connect": HANG})
    async with server, sender_to(server, seconds=0.1) as sender:
        outcome = await sender.send(mail())

    assert outcome == ChannelDown("connecting: no answer in time")


async def test_a_server_that_answers_each_step_slowly_is_bounded_as_a_whole() -> None:
    server = SmtpTestServer(
        always={"connect": say("220 hi", seconds=0.1), "EHLO": say("250 hi", seconds=0.25)}
    )
    async with server, sender_to(server, seconds=0.25) as sender:
        outcome = await sender.send(mail())

    assert outcome == ChannelDown("EHLO: no answer in time")


@pytest.mark.parametrize("phase", ["RCPT", "content"])
async def test_a_silent_server_is_given_up(server: SmtpTestServer, phase: str) -> None:
    server.next(phase, HANG)
    async with sender_to(server, seconds=QUICK, data_seconds=QUICK) as sender:
        outcome = await sender.send(mail())

    assert isinstance(outcome, ChannelDown | Uncertain)
    assert outcome.reason.endswith(": no answer in time")


async def test_a_connection_that_was_idle_for_longer_than_an_answer_may_take_is_used_again(
    server: SmtpTestServer,
) -> None:
    async with sender_to(server, seconds=QUICK, data_seconds=QUICK) as sender:
        await sender.send(mail())
        await asyncio.sleep(3 * QUICK)
        outcome = await sender.send(mail("two"))

    assert isinstance(outcome, Delivered)
    assert server.connections == 1


async def test_after_a_long_wait_for_the_final_dot_the_next_command_has_its_own_limit(
    server: SmtpTestServer,
) -> None:
    server.next("content", say("250 ok", seconds=2 * QUICK))
    async with sender_to(server, seconds=QUICK, data_seconds=60.0) as sender:
        await sender.send(mail())
        server.next("RCPT", HANG)
        async with asyncio.timeout(PATIENT):
            outcome = await sender.send(mail("two"))

    assert isinstance(outcome, Delivered)
    assert server.connections == 2


async def test_a_closed_port_is_named() -> None:
    server = SmtpTestServer()
    async with server:
        port = server.port
    async with sender_to(server) as sender:
        outcome = await sender.send(mail())

    assert isinstance(outcome, ChannelDown)
    assert f"127.0.0.1 on port {port}" in outcome.reason


async def test_a_host_name_that_is_none_is_the_channels_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = SmtpServer(host="mail..test", port=25, sender="a@x.test")
    async with SmtpEmailSender(settings, ascii_domain) as sender:
        outcome = await sender.send(mail())

    assert isinstance(outcome, ChannelDown)
    assert outcome.reason.startswith("connecting: Unicode")
    assert caplog.messages[0].startswith("the mail server made the SMTP library fail: Unicode")


async def test_the_wait_for_the_final_dot_has_its_own_limit(server: SmtpTestServer) -> None:
    server.always["content"] = say("250 ok", seconds=0.35)
    settings = SmtpServer(
        host="127.0.0.1",
        port=server.port,
        sender="a@x.test",
        timeout_seconds=0.3,
        data_timeout_seconds=PATIENT,
    )
    async with SmtpEmailSender(settings, ascii_domain) as sender:
        outcome = await sender.send(mail())

    assert isinstance(outcome, Delivered)


async def test_a_fresh_try_closes_idle_connections_and_opens_a_new_one(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    await asyncio.gather(sender.send(mail()), sender.send(mail("two")))

    outcome = await sender.send(mail("three"), fresh=True)
    await sender.send(mail("four"))

    assert isinstance(outcome, Delivered)
    assert server.connections == 3
    assert server.count("QUIT") == 2


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        (KeepAlive(idle_seconds=5.0), 6.0),
        (KeepAlive(age_seconds=5.0, idle_seconds=50.0), 6.0),
        (KeepAlive(mails=1), 0.0),
    ],
)
async def test_a_connection_is_not_used_beyond_its_limits(
    server: SmtpTestServer, limits: KeepAlive, seconds: float
) -> None:
    times = [0.0]
    async with sender_to(server, keep_alive=limits, now=lambda: times[0]) as sender:
        await sender.send(mail())
        times[0] += seconds
        outcome = await sender.send(mail("two"))

    assert isinstance(outcome, Delivered)
    assert server.connections == 2


async def test_connections_that_are_not_needed_any_more_are_closed(server: SmtpTestServer) -> None:
    times = [0.0]
    limits = KeepAlive(idle_seconds=5.0)
    async with sender_to(server, keep_alive=limits, now=lambda: times[0]) as sender:
        await asyncio.gather(*(sender.send(mail()) for _ in range(4)))
        times[0] = 4.0
        await sender.send(mail())
        times[0] = 6.0
        await sender.send(mail())
        await server.saw("QUIT", times=3)

        assert server.connections == 4
        assert server.count("QUIT") == 3


async def test_without_smtputf8_an_international_domain_is_written_for_dns(server: SmtpTestServer) -> None:
    server.extensions = ()
    async with sender_to(server) as sender:
        outcome = await sender.send(mail(to="jo@straße.example", text="ü"))

    assert isinstance(outcome, Delivered)
    assert server.mails[0].recipient == "TO:<jo@xn--strae-oqa.example>"
    assert server.mails[0].sender == "FROM:<no-reply@herald.localhost>"
    assert server.mails[0].data.isascii()


async def test_an_address_that_needs_smtputf8_is_sent_over_it_where_it_is_offered(
    server: SmtpTestServer, sender: SmtpEmailSender
) -> None:
    outcome = await sender.send(mail(to="jörg@bücher.example"))

    assert isinstance(outcome, Delivered)
    assert server.mails[0].recipient == "TO:<jörg@bücher.example>"
    assert server.mails[0].sender == "FROM:<no-reply@herald.localhost> SMTPUTF8 BODY=8BITMIME"


async def test_an_address_that_needs_smtputf8_is_refused_where_it_is_not_offered(
    server: SmtpTestServer,
) -> None:
    server.extensions = ("8BITMIME",)
    async with sender_to(server) as sender:
        outcomes = [await sender.send(mail(to="jörg@bücher.example")), await sender.send(mail("two"))]

    assert outcomes[0] == Refused(
        "the address is beyond ASCII, and the mail server does not offer SMTPUTF8 (RFC 6531)"
    )
    assert isinstance(outcomes[1], Delivered)
    assert (server.connections, server.count("MAIL")) == (1, 1)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "jo",
        "@example.org",
        "jo@",
        "jo@a@b",
        "jo@x.test>\r\nDATA",
        "jo@x.test> SIZE=1",
        "<jo@x.test>",
        '"a b"@x.test',
        "jo@ü\n.test",
        "jo@-ü.test",
        "j\x00o@x.test",
    ],
)
async def test_what_cannot_stand_in_a_command_is_refused_before_anything_is_said(
    server: SmtpTestServer, sender: SmtpEmailSender, address: str
) -> None:
    outcome = await sender.send(mail(to=address))

    assert outcome == Refused("the address cannot be written in an SMTP command")
    assert server.connections == 0


@pytest.mark.parametrize("broken", [mail(text="\ud800"), mail(to="\ud800@x.test"), mail(name="\ud800")])
async def test_what_has_no_utf_8_form_is_refused_and_leaves_the_connection_alone(
    server: SmtpTestServer, sender: SmtpEmailSender, broken: Mail
) -> None:
    outcomes = [await sender.send(broken), await sender.send(mail("two"))]

    assert outcomes[0] == Refused("the message cannot be written as a mail: it is not valid Unicode")
    assert isinstance(outcomes[1], Delivered)
    assert server.connections == 1


async def test_a_sender_that_was_left_opens_nothing_any_more(server: SmtpTestServer) -> None:
    sender = sender_to(server)
    async with sender:
        await sender.send(mail())

    outcome = await sender.send(mail("two"))

    assert outcome == ChannelDown("the sender is closed")
    assert server.connections == 1


async def test_leaving_while_the_server_is_being_connected_to_ends_it(server: SmtpTestServer) -> None:
    server.always["EHLO"] = HANG
    sender = await sender_to(server).__aenter__()
    on_its_way = asyncio.ensure_future(sender.send(mail()))
    await server.saw("EHLO")

    await sender.__aexit__(None, None, None)
    outcome = await on_its_way

    assert isinstance(outcome, ChannelDown)


def test_the_settings_page_says_how_long_a_connection_is_used() -> None:
    said = f"none is used again after {DEFAULT.mails} mails, {DEFAULT.age_seconds:.0f} s"

    assert f"{said}, or {DEFAULT.idle_seconds:.0f} s idle" in pages.page("settings.md")


def test_the_senders_domain_is_read_from_the_setting() -> None:
    assert sender_domain("Herald <no-reply@herald.localhost>") == "herald.localhost"


def test_a_sender_without_an_address_is_an_error_at_once() -> None:
    server = SmtpServer(host="127.0.0.1", port=25, sender="Herald")

    with pytest.raises(HeraldError, match=r"^smtp.sender 'Herald' is not an address"):
        SmtpEmailSender(server, ascii_domain)


def test_a_password_is_never_shown() -> None:
    server = SmtpServer(host="127.0.0.1", port=25, sender="a@x.test", username="user", password="s3cret")

    assert "s3cret" not in repr(server)
