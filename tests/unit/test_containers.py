"""Every object can be built for every log, without a connection; and any part can be swapped."""

import asyncio

import pytest
from dependency_injector import containers
from dependency_injector.errors import Error as WiringError

from adapters.memory import MemoryPublisher
from adapters.memory_senders import MemoryEmailSender
from adapters.message_json import request_of
from containers import Container
from domain.message import Message
from domain.outcome import Delivered, Outcome
from domain.ports import Mail
from entrypoints.settings_model import Broker, Settings, Sms, Smtp

PARTS = ("publisher", "message_log", "dead_letters", "topic_catalog", "apply_topics", "produce", "engine")


class TellingSender(MemoryEmailSender):
    """Says when the first mail is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()

    async def send(self, mail: Mail, *, fresh: bool = False) -> Outcome:
        self.arrived.set()
        return await super().send(mail, fresh=fresh)


def container(backend: str, group: str = "email") -> Container:
    return Container(settings=Settings(broker=Broker.model_validate({"backend": backend})), group=group)


@pytest.mark.parametrize("group", ["email", "sms"])
@pytest.mark.parametrize("backend", ["sqlite", "kafka", "memory"])
async def test_every_part_is_built_without_a_connection(backend: str, group: str) -> None:
    subject = container(backend, group)

    built = [getattr(subject, part)() for part in (*PARTS, "sender", "channel", "templates")]

    assert None not in built
    assert subject.channel().group == group


@pytest.mark.parametrize(
    ("backend", "name"),
    [("sqlite", "SqlitePublisher"), ("kafka", "KafkaPublisher"), ("memory", "MemoryPublisher")],
)
async def test_one_setting_swaps_the_log(backend: str, name: str) -> None:
    assert type(container(backend).publisher()).__name__ == name


async def test_one_override_swaps_an_adapter() -> None:
    subject = container("memory")
    sender = MemoryEmailSender()

    with subject.email_sender.override(sender):
        message = Message(request_id="r-1", topic_name="transactions", email="ada@example.test")
        outcome = await subject.channel().deliver(message, probe=False)

    assert outcome == Delivered()
    assert [mail.to for mail in sender.sent] == ["ada@example.test"]


async def test_the_engine_gets_what_was_put_in_its_place() -> None:
    subject = container("memory")
    sender = TellingSender()
    stop = asyncio.Event()

    with subject.email_sender.override(sender):
        await subject.apply_topics()()
        message = Message(request_id="r-1", topic_name="transactions", email="ada@example.test")
        async with subject.message_log():
            running = asyncio.create_task(subject.engine().run(stop))
            await subject.produce().one(request_of(message))
            await sender.arrived.wait()
            stop.set()
            await running

    assert [mail.message_id for mail in sender.sent] == ["<r-1.transactions@herald.localhost>"]


async def test_two_containers_share_nothing() -> None:
    one, other = container("memory"), container("memory")

    assert one.publisher() is one.publisher()
    assert isinstance(other.publisher(), MemoryPublisher)
    assert one.publisher() is not other.publisher()


def test_settings_must_be_given() -> None:
    with pytest.raises(WiringError, match="settings"):
        Container().publisher()


def test_numbers_that_no_setting_holds_can_be_given_by_a_program_of_its_own() -> None:
    @containers.copy(Container)
    class Quick(Container):
        """A program does this to `Container` itself; here that would reach other tests."""

    Quick.group_times.add_kwargs(session=6.0)
    Quick.retry_policy.add_kwargs(defer_after_seconds=2.0, uncertain_waits=(0.1, 0.2, 0.3))
    Quick.engine_options.add_kwargs(stalled_seconds=10.0)
    subject = Quick(settings=Settings(smtp=Smtp(max_per_second=5)), group="email")

    policy, options, times = subject.retry_policy(), subject.engine_options(), subject.group_times()

    assert (policy.defer_after_seconds, policy.uncertain_wait(9), policy.max_attempts) == (2.0, 0.3, 50)
    assert (options.stalled_seconds, options.frozen_seconds, options.most_per_second) == (10.0, 3.0, 5)
    assert (times.session, times.drain) == (6.0, 20.0)


def test_each_group_has_a_cap_of_its_own() -> None:
    settings = Settings(smtp=Smtp(max_per_second=5), sms=Sms(max_per_second=7))

    caps = [
        Container(settings=settings, group=group).engine_options().most_per_second
        for group in ("email", "sms")
    ]

    assert caps == [5, 7]
