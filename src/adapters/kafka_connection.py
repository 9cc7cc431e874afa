"""How Kafka is reached, and what its errors mean to us.

Library: aiokafka 0.14. What it does and does not do is told beside the code that works around it.
"""

import asyncio
import logging
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from aiokafka import errors
from aiokafka.helpers import create_ssl_context

from domain.errors import HeraldError

log = logging.getLogger("herald.kafka")

# aiokafka raises the same for an unreachable broker, a wrong certificate and a wrong password.
_NOT_LET_IN = "no Kafka broker can be reached, or none lets us in; check address, TLS and login"
START_GRACE_SECONDS = 1.0
_MECHANISMS = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
_ENCRYPTED = {"SSL", "SASL_SSL"}
_TALKATIVE = (
    "aiokafka",  # of its client
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.consumer.subscription_state",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)

# From Kafka's errors to a few words for a person. The first that fits wins: subclasses stand first.
MEANINGS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (
        (errors.TopicAuthorizationFailedError, errors.GroupAuthorizationFailedError),
        "Kafka does not allow this user to use the topic or the group",
    ),
    ((errors.ClusterAuthorizationFailedError,), "Kafka does not allow this user to do that"),
    (
        (errors.SaslAuthenticationFailed, errors.AuthenticationFailedError),
        "Kafka refused the user name or the password",
    ),
    (
        (errors.UnsupportedSaslMechanismError, errors.AuthenticationMethodNotSupported),
        "Kafka does not offer this SASL mechanism",
    ),
    ((ssl.SSLError,), "the TLS connection to Kafka failed"),
    (
        (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError),
        "the record is larger than the topic allows",
    ),
    (
        (errors.NotEnoughReplicasError, errors.NotEnoughReplicasAfterAppendError),
        "too few replicas of the partition are in sync",
    ),
    (
        (errors.UnknownTopicOrPartitionError, AssertionError, KeyError),
        "Kafka does not have the topic or the partition",
    ),
    (
        (errors.LeaderNotAvailableError, errors.NotLeaderForPartitionError),
        "the partition has no leader now",
    ),
    (
        (
            errors.GroupCoordinatorNotAvailableError,
            errors.NotCoordinatorForGroupError,
            errors.GroupLoadInProgressError,
        ),
        "the group has no coordinator now",
    ),
    ((errors.RequestTimedOutError, errors.KafkaTimeoutError, TimeoutError), "Kafka did not answer in time"),
    (
        (errors.KafkaConnectionError, errors.NodeNotReadyError, errors.NoBrokersAvailable, OSError),
        "no Kafka broker can be reached",
    ),
)


def explain(error: BaseException) -> str:
    """What the error means, in a few words; never with a record's key or value in it."""
    if isinstance(error, errors.KafkaConnectionError) and "bootstrap" in str(error):
        return _NOT_LET_IN
    for kinds, words in MEANINGS:
        if isinstance(error, kinds):
            return words
    if type(error) is errors.KafkaError:  # aiokafka's own, raised when it has asked every broker in vain
        return "no Kafka broker answers"
    return f"Kafka answered {type(error).__name__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """Where the brokers are and how to log in. Empty means: not used. Its repr shows no secret."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password: str = field(default="", repr=False)
    ssl_ca_file: str = ""
    ssl_cert_file: str = ""
    ssl_key_file: str = ""
    ssl_key_password: str = field(default="", repr=False)
    ssl_check_hostname: bool = True

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes.

        Reads the certificate files. Raises `HeraldError` for one that cannot be used and for an
        unknown mechanism.
        """
        quieten_library()
        options: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",")],
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol in _ENCRYPTED:
            options["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL_"):
            if self.sasl_mechanism not in _MECHANISMS:
                known = ", ".join(sorted(_MECHANISMS))
                raise HeraldError(f"[kafka] sasl_mechanism is {self.sasl_mechanism!r}; set one of {known}")
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        return options

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context: ssl.SSLContext = create_ssl_context(
                cafile=self.ssl_ca_file or None,
                certfile=self.ssl_cert_file or None,
                keyfile=self.ssl_key_file or None,
                # None would let OpenSSL ask the terminal for a password and wait.
                password=self.ssl_key_password,
            )
        except (OSError, ValueError) as error:
            files = [f for f in (self.ssl_ca_file, self.ssl_cert_file, self.ssl_key_file) if f]
            reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or "wrong password"
            raise HeraldError(
                f"[kafka] ssl files cannot be used ({', '.join(files)}): {reason}; check paths and password"
            ) from error
        context.check_hostname = self.ssl_check_hostname
        return context


def _look_away(left: asyncio.Future[None]) -> None:
    """How it ends, when nobody waits any longer, is no line with a traceback in the log."""
    if not left.cancelled():
        left.exception()


def quieten_library() -> None:
    """At DEBUG aiokafka logs keys and values, which are personal data; in an outage each retry is a line."""
    library = logging.getLogger("aiokafka")
    if library.getEffectiveLevel() < logging.INFO:
        library.setLevel(logging.INFO)
    for name in _TALKATIVE:
        talkative = logging.getLogger(name)
        if not any(isinstance(f, RepeatFilter) for f in talkative.filters):
            talkative.addFilter(RepeatFilter())


class RepeatFilter(logging.Filter):
    """Lets a line of one text pass once in `seconds`, whatever its arguments."""

    def __init__(self, seconds: float = 30.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if record.created < self._next.get(text, 0.0):
            return False
        self._next[text] = record.created + self._seconds
        return True


def has_stopped_refreshing(client: Any) -> bool:
    """Whether the task has ended by which a client of aiokafka's learns of new leaders, without an error."""
    task = client._sync_task  # noqa: SLF001 - told nowhere else
    return task is not None and bool(task.done())


async def start_whole(client: Any) -> None:
    """Starts a client. Where this is cancelled, the start is given a moment to come to its end.

    aiokafka's first connection is known to nobody but its `start`, and stays open where that is cut off.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        try:
            await ends_in_time(starting, START_GRACE_SECONDS)
        finally:
            starting.cancel()
        raise


async def stop_in_time(client: Any, seconds: float) -> bool:
    """Stops a client; True when it stopped as it should. aiokafka's own `stop` has no limit of time.

    A client that does not stop is left: its tasks end with the loop.
    """
    return await ends_in_time(client.stop() if hasattr(client, "stop") else client.close(), seconds)


async def ends_in_time(stop: Coroutine[Any, Any, None] | asyncio.Future[None], seconds: float) -> bool:
    """Whether it ended well. It is not waited for longer, for it may swallow that it is cancelled."""
    stopping = asyncio.ensure_future(stop)
    stopping.add_done_callback(_look_away)
    done, _ = await asyncio.wait([stopping], timeout=seconds)
    if not done:
        stopping.cancel()
        return False
    if stopping.cancelled() or stopping.exception() is not None:
        log.debug("A Kafka client stopped with an error", extra={"action": "kafka_stop_failed"})
        return False
    return True
