"""What every sender must keep, whatever it sends over."""

import asyncio
from abc import ABC, abstractmethod

import pytest

from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain

RECIPIENTS = {"email": "jo.doe@example.org", "sms": "+15005550001"}
BOUND_SECONDS = 5.0


class Provider(ABC):
    """A sender, entered, and the remote side it sends to.

    Each `will_` and `takes_and_never_answers` holds for the next try only.
    """

    @abstractmethod
    async def send(self, name: str, *, fresh: bool = False) -> Outcome:
        """Sends a message that `received` will show as `name`."""

    @abstractmethod
    def received(self) -> list[str]:
        """The names of what the provider accepted, oldest first."""

    @abstractmethod
    def will_say_later(self) -> None: ...

    @abstractmethod
    def will_refuse(self) -> None: ...

    @abstractmethod
    def takes_and_never_answers(self) -> None: ...

    @abstractmethod
    async def has_it(self) -> None:
        """Returns when the message that will not be answered has been handed over."""

    @abstractmethod
    async def goes_away(self) -> None: ...

    @abstractmethod
    async def comes_back(self) -> None: ...

    @abstractmethod
    async def leave(self) -> None:
        """Leaves the sender's context."""


class SenderContract:
    """Run over every adapter of `EmailSender` and `SmsSender`."""

    @pytest.fixture
    def provider(self) -> Provider:
        raise NotImplementedError

    async def test_an_accepted_message_is_delivered_and_received_once(self, provider: Provider) -> None:
        outcome = await provider.send("one")

        assert isinstance(outcome, Delivered)
        assert provider.received() == ["one"]

    async def test_a_message_that_must_wait_is_tried_again_and_not_received(self, provider: Provider) -> None:
        provider.will_say_later()

        outcomes = [await provider.send("one"), await provider.send("two")]

        assert isinstance(outcomes[0], TryAgain)
        assert isinstance(outcomes[1], Delivered)
        assert provider.received() == ["two"]

    async def test_a_message_that_is_refused_for_good_does_not_harm_the_next(
        self, provider: Provider
    ) -> None:
        provider.will_refuse()

        outcomes = [await provider.send("one"), await provider.send("two")]

        assert isinstance(outcomes[0], Refused)
        assert isinstance(outcomes[1], Delivered)
        assert provider.received() == ["two"]

    async def test_a_reason_names_neither_address_nor_number(self, provider: Provider) -> None:
        provider.will_refuse()

        outcome = await provider.send("one")

        assert isinstance(outcome, Refused)
        assert outcome.reason
        assert "jo.doe" not in outcome.reason
        assert "5005550001" not in outcome.reason

    @pytest.mark.parametrize("fresh", [False, True])
    async def test_an_unreachable_provider_is_a_channel_that_is_down(
        self,
        provider: Provider,
        fresh: bool,  # noqa: FBT001 - a parameter
    ) -> None:
        await provider.send("before")
        await provider.goes_away()

        outcomes = [await provider.send("one", fresh=fresh) for _ in range(3)]

        assert [type(outcome) for outcome in outcomes] == [ChannelDown] * 3
        assert provider.received() == ["before"]

    @pytest.mark.parametrize("fresh", [False, True])
    async def test_a_provider_that_is_back_gets_messages_again_unaided(
        self,
        provider: Provider,
        fresh: bool,  # noqa: FBT001 - a parameter
    ) -> None:
        await provider.goes_away()
        await provider.send("one")
        await provider.comes_back()

        outcome = await provider.send("two", fresh=fresh)

        assert isinstance(outcome, Delivered)
        assert provider.received() == ["two"]

    async def test_an_answer_that_never_comes_is_uncertain_in_bounded_time(self, provider: Provider) -> None:
        provider.takes_and_never_answers()

        async with asyncio.timeout(BOUND_SECONDS):
            outcome = await provider.send("one")

        assert isinstance(outcome, Uncertain)

    async def test_after_a_lost_answer_the_next_message_gets_its_own(self, provider: Provider) -> None:
        provider.takes_and_never_answers()
        await provider.send("one")

        outcome = await provider.send("two")

        assert isinstance(outcome, Delivered)
        assert provider.received()[-1] == "two"

    async def test_many_at_once_are_each_received_once(self, provider: Provider) -> None:
        names = [f"m{number}" for number in range(30)]

        outcomes = await asyncio.gather(*map(provider.send, names))

        assert {type(outcome) for outcome in outcomes} == {Delivered}
        assert sorted(provider.received()) == sorted(names)

    async def test_a_cancelled_send_leaves_nothing_behind_for_the_next(self, provider: Provider) -> None:
        provider.takes_and_never_answers()
        cancelled = asyncio.ensure_future(provider.send("one"))
        await provider.has_it()
        cancelled.cancel()
        await asyncio.wait([cancelled])

        outcome = await provider.send("two")

        assert isinstance(outcome, Delivered)
        assert provider.received()[-1] == "two"

    async def test_leaving_ends_what_is_on_its_way_in_bounded_time(self, provider: Provider) -> None:
        provider.takes_and_never_answers()
        on_its_way = asyncio.ensure_future(provider.send("one"))
        await provider.has_it()

        async with asyncio.timeout(BOUND_SECONDS):
            await provider.leave()
            outcome = await on_its_way

        assert isinstance(outcome, Uncertain)
