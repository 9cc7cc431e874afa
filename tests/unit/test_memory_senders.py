"""The senders that keep what was sent pass what every sender must keep."""

import asyncio

import pytest

from adapters.memory_senders import MemoryEmailSender, MemorySmsSender
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.ports import Mail, Text
from tests.contracts.sender import Provider, SenderContract


class MemoryProvider(Provider):
    def __init__(self, sender: MemoryEmailSender | MemorySmsSender) -> None:
        self.sender = sender
        self.is_away = False

    async def send(self, name: str, *, fresh: bool = False) -> Outcome:
        if self.is_away:
            self.sender.outcomes.append(ChannelDown("away"))
        if isinstance(self.sender, MemoryEmailSender):
            return await self.sender.send(
                Mail(to="jo@x.test", subject=name, text="", html="", message_id="<i@x.test>", date=0.0),
                fresh=fresh,
            )
        return await self.sender.send(Text(to="+15005550001", body=name, idempotency_key="k"), fresh=fresh)

    def received(self) -> list[str]:
        return [one.subject if isinstance(one, Mail) else one.body for one in self.sender.sent]

    def will_say_later(self) -> None:
        self.sender.outcomes.append(TryAgain("later"))

    def will_refuse(self) -> None:
        self.sender.outcomes.append(Refused("no"))

    def takes_and_never_answers(self) -> None:
        self.sender.outcomes.append(Uncertain("lost"))

    async def has_it(self) -> None:
        await asyncio.sleep(0)

    async def goes_away(self) -> None:
        self.is_away = True

    async def comes_back(self) -> None:
        self.is_away = False

    async def leave(self) -> None:
        await self.sender.__aexit__(None, None, None)


class TestMemoryEmailSender(SenderContract):
    @pytest.fixture
    async def provider(self) -> Provider:
        return MemoryProvider(await MemoryEmailSender().__aenter__())


class TestMemorySmsSender(SenderContract):
    @pytest.fixture
    async def provider(self) -> Provider:
        return MemoryProvider(await MemorySmsSender().__aenter__())


async def test_outcomes_are_answered_in_turn_and_then_all_is_delivered() -> None:
    sender = MemorySmsSender([TryAgain("later"), Refused("no")])
    text = Text(to="+15005550001", body="b", idempotency_key="k")

    outcomes = [await sender.send(text) for _ in range(4)]

    assert outcomes == [TryAgain("later"), Refused("no"), Delivered(), Delivered()]
    assert sender.sent == [text, text]
