"""How Kafka is reached, and what its errors are told as."""

import asyncio
import contextlib
import gc
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import client, errors

from adapters.kafka_connection import (
    KafkaConnection,
    RepeatFilter,
    explain,
    quieten_library,
    start_whole,
    stop_in_time,
)
from domain.errors import HeraldError
from tests.kafka.fakes import REFUSED, FakeBroker, FakeClient


@pytest.fixture
def library() -> Iterator[logging.Logger]:
    logger = logging.getLogger("aiokafka")
    level, filters = logger.level, logger.filters[:]
    yield logger
    logger.setLevel(level)
    logger.filters[:] = filters


def test_a_plain_connection_needs_only_the_servers() -> None:
    options = KafkaConnection(bootstrap_servers="one:9092, two:9092").client_options()

    assert options == {"bootstrap_servers": ["one:9092", "two:9092"], "security_protocol": "PLAINTEXT"}


def test_a_login_is_passed_on_and_shown_nowhere() -> None:
    connection = KafkaConnection(
        bootstrap_servers="one:9092",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="herald",
        sasl_password="top secret",
        ssl_key_password="also secret",
    )
    options = connection.client_options()

    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "herald"
    assert options["sasl_plain_password"] == "top secret"
    assert "ssl_context" not in options
    assert "secret" not in repr(connection)


def test_an_encrypted_connection_checks_certificate_and_name() -> None:
    options = KafkaConnection(bootstrap_servers="one:9092", security_protocol="SSL").client_options()

    context = options["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_the_name_on_a_certificate_may_be_of_no_account_but_never_who_gave_it() -> None:
    connection = KafkaConnection(
        bootstrap_servers="one:9092", security_protocol="SSL", ssl_check_hostname=False
    )
    context = connection.client_options()["ssl_context"]

    assert not context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_missing_certificate_file_is_named_in_one_line(tmp_path: Path) -> None:
    missing = str(tmp_path / "ca.pem")
    connection = KafkaConnection(bootstrap_servers="one:9092", security_protocol="SSL", ssl_ca_file=missing)

    with pytest.raises(HeraldError, match=r"ca\.pem.*No such file") as raised:
        connection.client_options()
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_certificate_is_named_too(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("not a certificate")
    connection = KafkaConnection(
        bootstrap_servers="one:9092", security_protocol="SASL_SSL", ssl_ca_file=str(wrong)
    )

    with pytest.raises(HeraldError, match=r"ca\.pem"):
        connection.client_options()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.TopicAuthorizationFailedError(), "allow this user to use the topic"),
        (errors.SaslAuthenticationFailed(), "user name or the password"),
        (errors.MessageSizeTooLargeError(), "larger than the topic allows"),
        (errors.NotEnoughReplicasError(), "too few replicas"),
        (errors.UnknownTopicOrPartitionError(), "does not have the topic"),
        (errors.LeaderNotAvailableError(), "no leader"),
        (errors.NotCoordinatorForGroupError(), "no coordinator"),
        (errors.RequestTimedOutError(), "in time"),
        (TimeoutError(), "in time"),
        (errors.KafkaConnectionError("one:9092"), "no Kafka broker can be reached"),
        (errors.KafkaConnectionError("Unable to bootstrap from []"), "check address, TLS and login"),
        (ConnectionRefusedError(), "no Kafka broker can be reached"),
        (ssl.SSLError("bad"), "TLS"),
        (errors.InvalidTopicError("password=1"), "Kafka answered InvalidTopicError"),
        (errors.KafkaError("Unable to update metadata from [1]"), "no Kafka broker answers"),
    ],
)
def test_errors_are_told_in_a_few_words(error: BaseException, words: str) -> None:
    assert words in explain(error)


def test_the_library_never_logs_at_debug(library: logging.Logger) -> None:
    library.setLevel(logging.DEBUG)
    quieten_library()
    quieten_library()

    assert library.level == logging.INFO
    assert len(logging.getLogger("aiokafka.conn").filters) == 1


def test_a_broker_that_is_away_is_told_by_the_library_once_and_not_at_each_try(
    library: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    quieten_library()
    for _ in range(3):
        client.log.error("A node is away: %s", "one:9092")

    assert caplog.messages == ["A node is away: one:9092"]


def test_a_stricter_level_is_left_alone(library: logging.Logger) -> None:
    library.setLevel(logging.ERROR)
    quieten_library()

    assert library.level == logging.ERROR


def test_the_same_line_again_passes_only_after_a_while() -> None:
    repeats = RepeatFilter(seconds=30)
    record = logging.makeLogRecord({"msg": "Unable connect to %s", "created": 100.0})
    other = logging.makeLogRecord({"msg": "Something else", "created": 100.0})
    soon = logging.makeLogRecord({"msg": "Unable connect to %s", "created": 129.0})
    later = logging.makeLogRecord({"msg": "Unable connect to %s", "created": 131.0})

    assert [repeats.filter(r) for r in (record, other, soon, later)] == [True, True, False, True]


def test_a_login_without_a_mechanism_is_told() -> None:
    connection = KafkaConnection(bootstrap_servers="one:9092", security_protocol="SASL_PLAINTEXT")

    with pytest.raises(HeraldError, match="sasl_mechanism is ''; set one of PLAIN, SCRAM"):
        connection.client_options()


async def test_a_client_that_does_not_stop_is_left_in_time() -> None:
    client = FakeClient(FakeBroker(), {})
    stopped = await stop_in_time(client, 1.0)
    client.hangs = True
    hung = await stop_in_time(client, 0.01)

    assert (stopped, hung) == (True, False)


async def test_a_client_that_swallows_being_cancelled_is_left_too() -> None:
    # aiokafka's does so while it ends its task for metadata.
    class Deaf(FakeClient):
        async def stop(self) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        assert not await stop_in_time(Deaf(FakeBroker(), {}), 0.01)


async def test_a_client_that_fails_to_stop_counts_as_stopped() -> None:
    class Failing:
        async def stop(self) -> None:
            raise OSError

    class Cancelled:
        async def stop(self) -> None:
            raise asyncio.CancelledError

    assert not await stop_in_time(Failing(), 1.0)
    assert not await stop_in_time(Cancelled(), 1.0)


class SlowStarter(FakeClient):
    """Needs a few turns of the loop to start, or waits for ever."""

    turns: float = 5

    async def start(self) -> None:
        while self.turns > 0:
            self.turns -= 1
            await asyncio.sleep(0)
        await super().start()


async def test_a_start_that_is_given_up_comes_to_its_end() -> None:
    client = SlowStarter(FakeBroker(), {})
    starting = asyncio.create_task(start_whole(client))
    await asyncio.sleep(0)
    starting.cancel()
    [outcome] = await asyncio.gather(starting, return_exceptions=True)

    assert isinstance(outcome, asyncio.CancelledError)
    assert client.started == 1


async def test_a_start_that_does_not_end_is_not_waited_for_for_ever() -> None:
    client = SlowStarter(FakeBroker(), {})
    client.turns = float("inf")
    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await start_whole(client)

    assert client.started == 0


async def test_a_start_that_fails_when_nobody_waits_any_more_is_no_traceback_in_the_log() -> None:
    # So does aiokafka's: what cancels it is taken for a broker that cannot be reached.
    class Stubborn(FakeClient):
        async def start(self) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise REFUSED from None

    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    starting = asyncio.create_task(start_whole(Stubborn(FakeBroker(), {})))
    for _ in range(2):  # the second does not even let it have its moment
        await asyncio.sleep(0)
        starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    del starting
    gc.collect()

    assert told == []


async def test_a_start_that_fails_says_so() -> None:
    broker = FakeBroker()
    broker.starts.append(REFUSED)
    with pytest.raises(errors.KafkaConnectionError):
        await start_whole(FakeClient(broker, {}))
