"""A Kafka that wants TLS and a login: in with the right ones, told without a secret with wrong ones."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_probe import KafkaProbe
from adapters.kafka_publisher import KafkaPublisher
from adapters.kafka_topics import KafkaTopicCatalog
from domain.diagnosis import FindingState
from domain.errors import LogUnavailable
from domain.log import Receipt, Unconfirmed
from domain.topic import Topic
from tests.contracts.rig import Reader, eventually_ready, record
from tests.kafka.cluster import KafkaCluster
from tests.kafka.rig import KafkaRig

pytestmark = pytest.mark.kafka
PATIENCE = 40.0
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key store for the broker and its certificate for clients, made by the JDK's keytool."""
    directory = tmp_path_factory.mktemp("tls")
    store, pem = directory / "broker.p12", directory / "ca.pem"
    keytool = ["keytool", "-keystore", str(store), "-storepass", "changeit", "-alias", "broker"]
    make = ["-genkeypair", "-keyalg", "RSA", "-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1"]
    subprocess.run([*keytool, *make, "-ext", "bc=ca:true"], check=True, capture_output=True)
    subprocess.run([*keytool, "-exportcert", "-rfc", "-file", str(pem)], check=True, capture_output=True)
    return store, pem


@pytest.fixture(scope="module")
def guarded_broker(certificate: tuple[Path, Path]) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(1)
    [node] = cluster.nodes
    cluster.settings = {
        "listeners": f"SASL_SSL://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"SASL_SSL://127.0.0.1:{node.port}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            f'{LOGIN} username="herald" password="right" user_herald="right";'
        ),
        "ssl.keystore.location": str(certificate[0]),
        "ssl.keystore.password": "changeit",
        "ssl.truststore.location": str(certificate[0]),
        "ssl.truststore.password": "changeit",
    }
    cluster.answers_plainly = False
    with cluster:
        yield cluster


@pytest.fixture
def connection(guarded_broker: KafkaCluster, certificate: tuple[Path, Path]) -> KafkaConnection:
    return KafkaConnection(
        bootstrap_servers=guarded_broker.bootstrap_servers,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="herald",
        sasl_password="right",
        ssl_ca_file=str(certificate[1]),
    )


async def test_every_client_gets_in_with_certificate_and_login(connection: KafkaConnection) -> None:
    rig = KafkaRig(connection.bootstrap_servers)
    rig.connection = connection
    async with rig.publisher() as publisher, rig.log("email") as log:
        await eventually_ready(publisher, PATIENCE)
        await rig.make_topics()
        answers = await publisher.publish([record(rig.shard(), "guarded")])
        reader = Reader(log, PATIENCE)
        await reader.until_read(1)

    assert isinstance(answers[0], Receipt)
    assert reader.values(rig.shard()) == ["guarded"]


async def test_a_wrong_password_is_not_let_in_and_shown_nowhere(
    connection: KafkaConnection, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = replace(connection, sasl_password="very-wrong-indeed")
    async with KafkaPublisher(wrong, 2.0) as publisher:
        rig = KafkaRig(wrong.bootstrap_servers)
        answers = await publisher.publish([record(rig.shard(), "x")])
        reason = await publisher.unready()
    with pytest.raises(LogUnavailable, match="check address, TLS and login"):
        await KafkaTopicCatalog(wrong, timeout_seconds=5.0).find({"x"})

    assert isinstance(answers[0], Unconfirmed)
    assert reason is not None
    assert "login" in reason
    assert "very-wrong-indeed" not in caplog.text


@pytest.mark.parametrize(
    ("changed", "says", "setting"),
    [
        ({}, "Kafka 4.", ""),
        (
            {"sasl_password": "very-wrong-indeed"},
            "refuses the user name or the password",
            "kafka.sasl_password",
        ),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "does not take this way to log in", "kafka.sasl_mechanism"),
        ({"ssl_ca_file": ""}, "its certificate is not trusted", "kafka.ssl_ca_file"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "", "kafka.security_protocol"),
    ],
    ids=["let in", "password", "mechanism", "certificate", "no TLS"],
)
async def test_the_doctor_tells_what_keeps_it_out(
    connection: KafkaConnection, changed: dict[str, Any], says: str, setting: str
) -> None:
    probe = KafkaProbe(replace(connection, **changed), [Topic(name="x", partitions=1)], seconds=5.0)

    [finding] = (await probe.look()).findings

    assert finding.state is (FindingState.WRONG if changed else FindingState.OK)
    assert says in finding.says
    assert setting in finding.remedy
    assert "very-wrong-indeed" not in f"{finding.says} {finding.remedy}"


async def test_an_unknown_certificate_is_not_trusted(connection: KafkaConnection) -> None:
    with pytest.raises(LogUnavailable):
        await KafkaTopicCatalog(replace(connection, ssl_ca_file=""), timeout_seconds=5.0).find({"x"})
