"""A Kafka that wants TLS and a login: in with the right ones, told without a secret with wrong ones."""

from collections.abc import Iterator
from dataclasses import replace
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
from tests.kafka.guarded import Certificate, guarded, login, make_certificate
from tests.kafka.rig import KafkaRig

pytestmark = pytest.mark.kafka
PATIENCE = 40.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def guarded_broker(certificate: Certificate) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(1)
    cluster.settings = {
        **guarded(cluster.nodes[0], certificate),
        **login("PLAIN", "herald", "right", 'user_herald="right"'),
    }
    cluster.answers_plainly = False
    with cluster:
        yield cluster


@pytest.fixture
def connection(guarded_broker: KafkaCluster, certificate: Certificate) -> KafkaConnection:
    return KafkaConnection(
        bootstrap_servers=guarded_broker.bootstrap_servers,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="herald",
        sasl_password="right",
        ssl_ca_file=str(certificate.pem),
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
