"""The drill's mail server and SMS provider, asked by Herald's own senders."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.email_address import ascii_domain
from adapters.http_sms import HttpSmsSender, SmsProvider
from adapters.smtp import SmtpEmailSender, SmtpServer
from domain.outcome import ChannelDown, Delivered, Outcome, TryAgain
from domain.ports import Mail, Text
from entrypoints.drill_providers import Providers
from entrypoints.inbox_outage import Outage

CHANNELS = ("email", "sms")
MANY = 10
Arrivals = list[tuple[str, str]]


class Site:
    """The providers, and a sender for each channel."""

    def __init__(self) -> None:
        self.arrived: Arrivals = []
        self.half_arrived = asyncio.Event()
        self.providers = Providers(self._note, goodbye_seconds=0.05)

    def _note(self, channel: str, request_id: str) -> None:
        self.arrived.append((channel, request_id))
        if len(self.arrived) == MANY // 2:
            self.half_arrived.set()

    async def send(self, channel: str, number: int = 1, to: str = "") -> Outcome:
        if channel == "email":
            server = SmtpServer(
                host="127.0.0.1", port=self.providers.port("email"), sender="Herald <herald@example.test>"
            )
            async with SmtpEmailSender(server, ascii_domain) as mails:
                return await mails.send(mail(number, to or "ada@example.test"))
        url = f"http://127.0.0.1:{self.providers.port('sms')}"
        provider = SmsProvider(url=url, account_sid="AC0", auth_token="t", sender="+15005550006")
        async with HttpSmsSender(provider) as texts:
            return await texts.send(
                Text(to=to or "+12025550143", body="Fine", idempotency_key=f"d{number}.drill")
            )


def mail(number: int, to: str) -> Mail:
    return Mail(
        to=to, subject="Fine", text="Fine", html="", message_id=f"<d{number}.drill@example.test>", date=0.0
    )


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    one = Site()
    async with one.providers:
        yield one


@pytest.mark.parametrize("channel", CHANNELS)
async def test_each_message_that_is_taken_is_told_with_its_request_id(site: Site, channel: str) -> None:
    outcomes = [await site.send(channel, number) for number in (7, 8, 7)]

    assert [type(outcome) for outcome in outcomes] == [Delivered] * 3
    assert site.arrived == [(channel, "d7"), (channel, "d8"), (channel, "d7")]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("state", [Outage.DOWN, Outage.BUSY])
async def test_while_it_is_down_nothing_arrives_and_then_it_takes_all_on_the_same_port(
    site: Site, channel: str, state: Outage
) -> None:
    port = site.providers.port(channel)
    await site.providers.change(channel, state)
    refused = await site.send(channel, 1)
    await site.providers.change(channel, Outage.UP)
    taken = await site.send(channel, 2)

    assert isinstance(refused, ChannelDown | TryAgain)
    assert (type(taken), site.arrived, site.providers.port(channel)) == (Delivered, [(channel, "d2")], port)


@pytest.mark.parametrize(("channel", "recipient"), [("email", "b@example.test"), ("sms", "+12025550199")])
async def test_who_is_put_off_is_told_to_come_again_and_others_are_not(
    site: Site, channel: str, recipient: str
) -> None:
    site.providers.doors[channel].put_off.add(recipient)
    put_off, other = await site.send(channel, 1, to=recipient), await site.send(channel, 2)
    site.providers.doors[channel].put_off.clear()
    later = await site.send(channel, 1, to=recipient)

    assert [type(outcome) for outcome in (put_off, other, later)] == [TryAgain, Delivered, Delivered]
    assert site.arrived == [(channel, "d2"), (channel, "d1")]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_what_was_taken_when_it_closes_gets_its_answer(site: Site, channel: str) -> None:
    sending = [asyncio.create_task(site.send(channel, number)) for number in range(MANY)]
    await site.half_arrived.wait()
    await site.providers.change(channel, Outage.DOWN)
    outcomes = await asyncio.gather(*sending)

    assert sum(isinstance(outcome, Delivered) for outcome in outcomes) == len(site.arrived)
    assert {type(outcome) for outcome in outcomes} <= {Delivered, ChannelDown}


@pytest.mark.parametrize(("channel", "recipient"), [("email", "b@example.test"), ("sms", "+12025550199")])
async def test_who_is_moody_is_turned_away_every_third_time(site: Site, channel: str, recipient: str) -> None:
    site.providers.doors[channel].moody.add(recipient)
    outcomes = [await site.send(channel, number, to=recipient) for number in range(6)]

    assert [isinstance(outcome, TryAgain) for outcome in outcomes] == [False, False, True] * 2
