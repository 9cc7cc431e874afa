"""From a message to a mail."""

import re

import pytest

from adapters.memory_senders import MemoryEmailSender
from application.notify_email import NotifyByEmail
from domain.errors import HeraldError
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.ports import Mail
from tests.fakes import FakeClock

DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class PlainTemplates:
    def mail(self, message: Message) -> tuple[str, str, str]:
        return "Subject", f"text {message.message_body}", f"<p>{message.transaction_id}</p>"

    def text(self, message: Message) -> str:
        raise NotImplementedError


class BrokenTemplates(PlainTemplates):
    def mail(self, message: Message) -> tuple[str, str, str]:
        raise HeraldError("template email.html cannot be used: division by zero")


class FreshnessKeeper(MemoryEmailSender):
    def __init__(self) -> None:
        super().__init__()
        self.fresh: list[bool] = []

    async def send(self, mail: Mail, *, fresh: bool = False) -> Outcome:
        self.fresh.append(fresh)
        return await super().send(mail, fresh=fresh)


def no_umlauts(address: str) -> str | None:
    return "must be a mail address" if "ü" in address else None


def channel(sender: MemoryEmailSender, templates: PlainTemplates | None = None) -> NotifyByEmail:
    return NotifyByEmail(
        sender, templates or PlainTemplates(), "herald.localhost", FakeClock(1_800_000_000.5), no_umlauts
    )


def message(request_id: str = "r1", topic: str = "transactions", **fields: str | None) -> Message:
    return Message(request_id=request_id, topic_name=topic, **({"email": "jo@example.org"} | fields))


async def test_a_message_becomes_a_mail() -> None:
    sender = MemoryEmailSender()

    outcome = await channel(sender).deliver(message(message_body="Hi", transaction_id="T1"), probe=False)

    assert outcome == Delivered()
    assert sender.sent == [
        Mail(
            to="jo@example.org",
            subject="Subject",
            text="text Hi",
            html="<p>T1</p>",
            message_id="<r1.transactions@herald.localhost>",
            date=1_800_000_000.5,
        )
    ]


@pytest.mark.parametrize(
    "outcome",
    [TryAgain("busy", 3.0), Refused("no such user"), ChannelDown("gone", certain=True), Uncertain("lost")],
)
async def test_what_the_sender_says_is_handed_on(outcome: Outcome) -> None:
    said = await channel(MemoryEmailSender([outcome])).deliver(message(), probe=False)

    assert said == outcome


async def test_a_probe_asks_for_a_fresh_connection() -> None:
    sender = FreshnessKeeper()
    email = channel(sender)

    await email.deliver(message(), probe=True)
    await email.deliver(message(), probe=False)

    assert sender.fresh == [True, False]


async def test_a_template_that_fails_sends_nothing_and_is_tried_again() -> None:
    sender = MemoryEmailSender()

    outcome = await channel(sender, BrokenTemplates()).deliver(message(), probe=False)

    assert outcome == TryAgain("template email.html cannot be used: division by zero")
    assert sender.sent == []


@pytest.mark.parametrize(
    ("request_id", "topic", "expected"),
    [
        ("r1", "t", "<r1.t@herald.localhost>"),
        ("a:b:c", "t", "<a=3Ab=3Ac.t@herald.localhost>"),
        ("a.b", "x.y", "<a.b.x.y@herald.localhost>"),
        (".a", "t", "<=2Ea.t@herald.localhost>"),
        ("a.", "t", "<a=2E.t@herald.localhost>"),
        ("a..b", "t", "<a.=2Eb.t@herald.localhost>"),
        ("a...b", "t", "<a.=2E=2Eb.t@herald.localhost>"),
        (".", ".", "<=2E.=2E@herald.localhost>"),
        ("..", "..", "<=2E=2E.=2E=2E@herald.localhost>"),
        ("...", "t", "<=2E=2E=2E.t@herald.localhost>"),
        (":", "t.", "<=3A.t=2E@herald.localhost>"),
        ("-_.:", ".t", "<-_.=3A.=2Et@herald.localhost>"),
    ],
)
async def test_the_message_id_is_a_dot_atom_of_request_id_and_topic(
    request_id: str, topic: str, expected: str
) -> None:
    sender = MemoryEmailSender()

    await channel(sender).deliver(message(request_id, topic), probe=False)
    await channel(sender).deliver(message(request_id, topic), probe=False)

    assert [mail.message_id for mail in sender.sent] == [expected, expected]
    assert DOT_ATOM.fullmatch(expected[1:].partition("@")[0])


def test_a_message_without_an_address_is_not_for_this_channel() -> None:
    email = channel(MemoryEmailSender())

    assert email.group == "email"
    assert email.is_for(message())
    assert not email.is_for(message(email=None, phone="+15005550006"))
    assert not email.is_for(message(email=""))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"email": "jo@localhost.test", "phone": "garbage", "key": "\n", "expires_at": "soon"}, None),
        ({"email": "jü@example.org"}, "email must be a mail address"),
        ({"email": "jo@example.org\r\nBcc: x@y.z"}, "email must not contain control characters"),
        ({"message_body": "x" * 10_001}, "message_body must have at most 10000 characters"),
        (
            {"transaction_id": "a\nb", "message_body": "\x00"},
            (
                "message_body must not contain control characters but newline and tab; "
                "transaction_id must not contain control characters"
            ),
        ),
        ({"customer_id": "\ud800"}, "customer_id must be valid Unicode"),
    ],
)
def test_only_the_address_and_what_a_mail_shows_is_looked_at(
    fields: dict[str, str], expected: str | None
) -> None:
    fault = channel(MemoryEmailSender()).fault(message(**fields))

    assert fault == expected


def test_an_id_made_from_a_long_topic_and_an_offset_is_no_fault() -> None:
    fault = channel(MemoryEmailSender()).fault(message("t" * 249 + "-0-42", "t" * 249))

    assert fault is None
