"""Whether Kafka answers: each address that the settings name, and each broker that the cluster names."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn

from adapters.kafka_admin import AdminClass, admin_client
from adapters.kafka_connection import KafkaConnection, explain
from adapters.kafka_reader import KafkaReader
from adapters.kafka_release import AskFeatures, release_of, tells_features
from adapters.one_off_thread import name_fault
from domain.diagnosis import ClockReading, Finding, Seen, ok, warning, wrong
from domain.errors import HeraldError, LogUnavailable
from domain.topic import Topic

_NAME = "log"
_CLOSE_SECONDS = 1.0
_PRODUCE, _FETCH = 0, 1
_LOGIN = "set kafka.sasl_username and kafka.sasl_password to what Kafka knows"
_MECHANISM = "set kafka.sasl_mechanism to one that the brokers offer"
_PROTOCOL = "see that Kafka listens there, and that kafka.security_protocol is the listener's"
_CERTIFICATE = "set kafka.ssl_ca_file to who signed the brokers' certificate, and the host to a name in it"
_START = "start the broker, or set kafka.bootstrap_servers"

# From what a look at one address met to what it means and what to do; the first that fits.
_FAULTS: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    ((ssl.SSLCertVerificationError,), "its certificate is not trusted", _CERTIFICATE),
    ((ssl.SSLError,), "it does not speak TLS as wanted", _PROTOCOL),
    (
        (errors.SaslAuthenticationFailed, errors.AuthenticationFailedError),
        "it refuses the user name or the password",
        _LOGIN,
    ),
    (
        (errors.UnsupportedSaslMechanismError, errors.IllegalSaslStateError),
        "it does not take this way to log in",
        _MECHANISM,
    ),
    ((TimeoutError, errors.KafkaTimeoutError), "no answer in time", _PROTOCOL),
    ((ConnectionRefusedError,), "the connection is refused", _START),
    ((OSError,), "it cannot be reached", _START),
    ((errors.KafkaConnectionError,), "it closed the connection", _PROTOCOL),
)


@dataclass(frozen=True, slots=True)
class _Address:
    """What a look at one address came to. `fault` and `remedy` are empty where it answers."""

    where: str
    release: str = ""
    fault: str = ""
    remedy: str = ""


class KafkaProbe:
    """`seconds`: for each of its steps: the addresses, the cluster, its other brokers, its newest records."""

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[Topic],
        *,
        seconds: float = 3.0,
        now: Callable[[], float] = time.time,
        admin_class: AdminClass = AIOKafkaAdminClient,
    ) -> None:
        self._connection = connection
        self._topics = tuple(topics)
        self._seconds = seconds
        self._now = now
        self._admin_class = admin_class

    async def look(self) -> Seen:
        try:
            options = self._connection.client_options()
        except HeraldError as error:
            return Seen((wrong(_NAME, str(error)),))
        named = list(map(host_and_port, options.pop("bootstrap_servers")))
        looked_at = await self._look_at(named, options)
        silent = [one for one in looked_at if one.fault]
        if len(silent) == len(looked_at):
            return Seen(tuple(_finding(one, wrong) for one in silent))
        try:
            cluster = await self._cluster()
        except LogUnavailable as error:
            return Seen((wrong(_NAME, str(error)),))
        unknown_yet = [one for one in _advertised(cluster) if one not in named]
        found_later = await self._look_at(unknown_yet, options)
        findings = [
            self._answers(cluster, [one.release for one in (*looked_at, *found_later) if one.release]),
            *(_finding(one, warning) for one in silent),
            *(_finding(one, _not_reached) for one in found_later if one.fault),
        ]
        return Seen(tuple(findings), await self._clocks())

    async def _look_at(
        self, addresses: Sequence[tuple[str, int]], options: Mapping[str, Any]
    ) -> list[_Address]:
        return await asyncio.gather(*(self._look_at_one(host, port, options) for host, port in addresses))

    async def _look_at_one(self, host: str, port: int, options: Mapping[str, Any]) -> _Address:
        where = f"{host}:{port}"
        if fault := await name_fault(host, self._seconds):
            return _Address(where, fault=fault, remedy="set kafka.bootstrap_servers, or mend the name server")
        try:
            async with asyncio.timeout(self._seconds):
                return _Address(where, await self._release(host, port, options))
        except Exception as error:  # noqa: BLE001 - foreign bytes make the library raise anything
            fault, remedy = _meaning(error)
            return _Address(where, fault=fault, remedy=remedy)

    async def _release(self, host: str, port: int, options: Mapping[str, Any]) -> str:
        conn = await create_conn(host, port, request_timeout_ms=int(1000 * self._seconds), **options)
        try:
            versions = conn._versions  # noqa: SLF001 - told nowhere else
            release = release_of(await conn.send(AskFeatures())) if tells_features(versions) else ""
            return release or _levels(versions)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await asyncio.shield(conn.close())

    async def _cluster(self) -> Mapping[str, Any]:
        async with admin_client(self._connection, self._admin_class, self._seconds) as admin:
            found: Mapping[str, Any] = await admin.describe_cluster()
        return found

    def _answers(self, cluster: Mapping[str, Any], releases: Sequence[str]) -> Finding:
        brokers = len(cluster["brokers"])
        says = [
            f"Kafka at {self._connection.bootstrap_servers}",
            f"{brokers} {'broker' if brokers == 1 else 'brokers'}",
            f"controller {cluster['controller_id']}",
            " and ".join(sorted(set(releases))),
        ]
        return ok(_NAME, ", ".join(filter(None, says)))

    async def _clocks(self) -> tuple[ClockReading, ...]:
        """When the newest records were taken. What cannot be read in time is left out: it proves nothing."""
        reader = KafkaReader(self._connection, answer_seconds=self._seconds)
        try:
            async with asyncio.timeout(self._seconds):
                times = await self._newest(reader)
        except (TimeoutError, LogUnavailable):
            return ()
        finally:
            await reader.close()
        ahead = max(times, default=None)
        if ahead is None:
            return ()
        source = "the newest record of the log"
        return (ClockReading(source=source, ahead=ahead - self._now(), may_lag=True),)

    async def _newest(self, reader: KafkaReader) -> list[float]:
        missing = await reader.missing({topic.name for topic in self._topics})
        partitions = [
            TopicPartition(topic.name, partition)
            for topic in self._topics
            if topic.name not in missing
            for partition in range(topic.partitions)
        ]
        bounds = await reader.bounds(partitions) if partitions else {}
        looks = [reader.look(one, bound.end - 1) for one, bound in bounds.items() if bound.end > bound.first]
        return [record.timestamp / 1000 for record in await asyncio.gather(*looks) if record is not None]


def host_and_port(server: str) -> tuple[str, int]:
    """`host:port`, a host of IPv6 in brackets."""
    host, _, port = server.strip().rpartition(":")
    return host.strip("[]"), int(port)


def _advertised(cluster: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(str(broker["host"]), int(broker["port"])) for broker in cluster["brokers"]]


def _levels(versions: Mapping[int, tuple[int, int]]) -> str:
    """For brokers that tell no metadata.version: older than 3.3, or not Apache's."""
    produce, fetch = (versions.get(key, (0, 0))[1] for key in (_PRODUCE, _FETCH))
    return f"its release is not told (Produce up to version {produce}, Fetch up to {fetch})"


def _meaning(error: BaseException) -> tuple[str, str]:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    for kinds, fault, remedy in _FAULTS:
        if any(isinstance(one, kinds) for one in causes):
            return fault, remedy
    if isinstance(error, errors.KafkaError):
        return explain(error), _PROTOCOL
    return "what answers there is not Kafka", _PROTOCOL


def _finding(address: _Address, make: Callable[[str, str, str], Finding]) -> Finding:
    return make(_NAME, f"{address.where}: {address.fault}", address.remedy)


def _not_reached(name: str, says: str, _: str) -> Finding:
    """The cluster names an address that leads nowhere from here: producing to what it leads fails."""
    return wrong(name, f"the cluster names a broker at {says}", "start it, or set its advertised.listeners")
