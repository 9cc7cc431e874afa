"""From a message to a text."""

import pytest

from adapters.memory_senders import MemorySmsSender
from application.notify_sms import NotifyBySms
from domain.errors import HeraldError
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, TryAgain
from domain.ports import Text


class PlainTemplates:
    def mail(self, message: Message) -> tuple[str, str, str]:
        raise NotImplementedError

    def text(self, message: Message) -> str:
        return f"text {message.message_body}"


class BrokenTemplates(PlainTemplates):
    def text(self, message: Message) -> str:
        raise HeraldError("template sms.txt cannot be used: division by zero")


class FreshnessKeeper(MemorySmsSender):
    def __init__(self) -> None:
        super().__init__()
        self.fresh: list[bool] = []

    async def send(self, text: Text, *, fresh: bool = False) -> Outcome:
        self.fresh.append(fresh)
        return await super().send(text, fresh=fresh)


def message(**fields: str | None) -> Message:
    return Message(request_id="r:1", topic_name="transactions", **({"phone": "+15005550006"} | fields))


async def test_a_message_becomes_a_text_with_the_same_key_on_every_try() -> None:
    sender = MemorySmsSender()
    channel = NotifyBySms(sender, PlainTemplates())

    outcomes = [await channel.deliver(message(message_body="Hi"), probe=False) for _ in range(2)]

    assert outcomes == [Delivered(), Delivered()]
    assert sender.sent == [
        Text(to="+15005550006", body="text Hi", idempotency_key="r:1.transactions"),
        Text(to="+15005550006", body="text Hi", idempotency_key="r:1.transactions"),
    ]


async def test_what_the_sender_says_is_handed_on() -> None:
    sender = MemorySmsSender([ChannelDown("gone", 5.0)])

    outcome = await NotifyBySms(sender, PlainTemplates()).deliver(message(), probe=False)

    assert outcome == ChannelDown("gone", 5.0)
    assert sender.sent == []


async def test_a_probe_asks_for_a_fresh_connection() -> None:
    sender = FreshnessKeeper()
    channel = NotifyBySms(sender, PlainTemplates())

    await channel.deliver(message(), probe=True)
    await channel.deliver(message(), probe=False)

    assert sender.fresh == [True, False]


async def test_a_template_that_fails_sends_nothing_and_is_tried_again() -> None:
    sender = MemorySmsSender()

    outcome = await NotifyBySms(sender, BrokenTemplates()).deliver(message(), probe=False)

    assert outcome == TryAgain("template sms.txt cannot be used: division by zero")
    assert sender.sent == []


def test_a_message_without_a_number_is_not_for_this_channel() -> None:
    channel = NotifyBySms(MemorySmsSender(), PlainTemplates())

    assert channel.group == "sms"
    assert channel.is_for(message())
    assert not channel.is_for(message(phone=None, email="jo@example.org"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"email": "jü@", "key": "\n"}, None),
        ({"phone": "015005550006"}, "phone must be + and 7 to 15 digits, the first not 0"),
        ({"phone": "+1500555000٦"}, "phone must be + and 7 to 15 digits, the first not 0"),
        ({"transaction_id": "a\nb"}, "transaction_id must not contain control characters"),
    ],
)
def test_only_the_number_and_what_a_text_shows_is_looked_at(
    fields: dict[str, str], expected: str | None
) -> None:
    fault = NotifyBySms(MemorySmsSender(), PlainTemplates()).fault(message(**fields))

    assert fault == expected
