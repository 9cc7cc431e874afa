"""The doctor's look at Kafka's addresses, against servers on loopback that are no brokers."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_probe import KafkaProbe, host_and_port
from adapters.kafka_release import release_of, tells_features
from domain.diagnosis import Finding, FindingState
from domain.topic import Topic
from tests.free_ports import free_ports

TOPIC = Topic(name="orders", partitions=1)
# An answer to ApiVersions, version 0, behind its length: no error, and the two APIs that matter.
OLD_BROKER = struct.pack(">ihihhhhhh", 0, 0, 2, 0, 0, 7, 18, 0, 2)


@contextlib.asynccontextmanager
async def server(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """Answers each request with bytes; None: closes instead."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while asked := await reader.read(65_536):
                if (said := answer(asked)) is None:
                    break
                writer.write(said)
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def look(servers: str, **of: Any) -> list[Finding]:
    probe = KafkaProbe(KafkaConnection(bootstrap_servers=servers, **of), [TOPIC], seconds=0.3)
    return list((await probe.look()).findings)


async def test_closed_ports_are_wrong_each() -> None:
    one, other = free_ports(2)

    findings = await look(f"127.0.0.1:{one},127.0.0.1:{other}")

    assert [(one.name, one.state, one.says) for one in findings] == [
        ("log", FindingState.WRONG, f"127.0.0.1:{port}: the connection is refused") for port in (one, other)
    ]
    assert findings[0].remedy == "start the broker, or set kafka.bootstrap_servers"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _: b"", "no answer in time"),
        (lambda _: None, "it closed the connection"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "no answer in time"),  # a length of a gigabyte
        (lambda _: struct.pack(">i", 3) + b"abc", "it closed the connection"),
    ],
    ids=["a black hole", "closed", "HTTP", "garbage"],
)
async def test_what_does_not_answer_as_kafka_does_is_wrong(
    answer: Callable[[bytes], bytes | None], says: str
) -> None:
    async with server(answer) as port:
        [finding] = await look(f"127.0.0.1:{port}")

    assert finding.state is FindingState.WRONG
    assert finding.says == f"127.0.0.1:{port}: {says}"
    assert "kafka.security_protocol" in finding.remedy


async def test_tls_where_there_is_none_is_wrong() -> None:
    async with server(lambda _: b"not TLS\r\n") as port:
        [finding] = await look(f"127.0.0.1:{port}", security_protocol="SSL")

    assert finding.says == f"127.0.0.1:{port}: it does not speak TLS as wanted"
    assert "kafka.security_protocol" in finding.remedy


async def test_certificates_that_cannot_be_read_are_told_before_anybody_is_asked(tmp_path: Path) -> None:
    missing = str(tmp_path / "ca.pem")

    [finding] = await look("127.0.0.1:1", security_protocol="SSL", ssl_ca_file=missing)

    assert finding.state is FindingState.WRONG
    assert missing in finding.says


async def test_a_name_that_leads_nowhere_is_told_as_such() -> None:
    no_name = f"{'a' * 64}.test"  # too long a label: no name server is asked

    [finding] = await look(f"{no_name}:9092")

    assert finding.says == f"{no_name}:9092: the name {no_name} has no address (no host name)"


async def test_where_no_broker_tells_of_the_cluster_the_log_does_not_answer() -> None:
    def answer(asked: bytes) -> bytes | None:
        """To ApiVersions only; the number of the question stands behind length, API and version."""
        (api,) = struct.unpack_from(">h", asked, 4)
        return struct.pack(">i", len(OLD_BROKER)) + asked[8:12] + OLD_BROKER[4:] if api == 18 else b""

    async with server(answer) as port:
        [finding] = await look(f"127.0.0.1:{port}")

    assert finding.state is FindingState.WRONG


@pytest.mark.parametrize(
    ("server", "address"),
    [("kafka-1:9092", ("kafka-1", 9092)), (" 10.0.0.1:9 ", ("10.0.0.1", 9)), ("[::1]:9092", ("::1", 9092))],
)
def test_an_address_is_a_host_and_a_port(server: str, address: tuple[str, int]) -> None:
    assert host_and_port(server) == address


def features(**levels: int) -> SimpleNamespace:
    """An answer to ApiVersions, version 3, that tells these features."""
    told = BytesIO()
    told.write(bytes([len(levels) + 1]))
    for name, level in levels.items():
        shown = name.replace("_", ".").encode()
        told.write(bytes([len(shown) + 1]) + shown + struct.pack(">hh", 1, level) + b"\0")
    return SimpleNamespace(tags={0: told.getvalue()} if levels else {})


@pytest.mark.parametrize(
    ("answer", "release"),
    [
        (features(metadata_version=7), "Kafka 3.3"),
        (features(metadata_version=13, group_version=1), "Kafka 3.6"),
        (features(metadata_version=25), "Kafka 4.0"),
        (features(metadata_version=31), "Kafka 4.4"),
        (features(metadata_version=40), "newer than Kafka 4.4"),
        (features(metadata_version=3), ""),
        (features(group_version=1), ""),
        (features(), ""),
    ],
)
def test_the_release_is_told_as_far_as_the_broker_tells_it(answer: SimpleNamespace, release: str) -> None:
    assert release_of(answer) == release


def test_only_who_has_version_3_is_asked_for_features() -> None:
    assert [tells_features({18: (0, most)}) for most in (2, 3, 4)] == [False, True, True]
    assert not tells_features({})
