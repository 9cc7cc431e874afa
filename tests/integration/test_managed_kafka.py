"""docs/howto/managed-kafka.md, followed: a broker with SASL_SSL that lets nobody do more than the page says.

The broker has a second listener as Heroku's have it: TLS with a client's certificate, under another name.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.admin import CreateAclsRequest

from domain.presence import USUAL_TIMES
from tests import pages
from tests.deployment import ROOT
from tests.free_ports import free_ports
from tests.kafka.cluster import KafkaCluster
from tests.kafka.guarded import STORE_PASSWORD, Certificate, guarded, login, make_certificate
from tests.site import Site, eventually, site
from tests.sms_provider import SmsTestProvider
from tests.smtp_server import SmtpTestServer

pytestmark = pytest.mark.kafka
PAGE = (ROOT / "docs" / "howto" / "managed-kafka.md").read_text(encoding="utf-8")
MECHANISM, ADMIN, PASSWORD = "SCRAM-SHA-512", "admin", "right"
RESOURCES = {"topic": 2, "group": 3, "cluster": 4}
PATTERNS = {"literal": 3, "prefixed": 4}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
ALLOW = 3


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def strict_broker(certificate: Certificate) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(1)
    [node] = cluster.nodes
    (tls,) = free_ports(1)
    own = dict(guarded(node, certificate))
    own["listeners"] += f",SSL://127.0.0.1:{tls}"
    own["advertised.listeners"] += f",SSL://localhost:{tls}"
    cluster.settings = {
        **own,
        **login(MECHANISM, ADMIN, PASSWORD),
        "listener.name.ssl.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The controller's port asks for no login, and Heroku's client may do everything.
        "super.users": f"User:{ADMIN};User:ANONYMOUS;User:CN=127.0.0.1",
    }
    scram = [f"{MECHANISM}=[name={name},password={PASSWORD}]" for name in (ADMIN, "herald")]
    cluster.format_options = tuple(word for one in scram for word in ("--add-scram", one))
    cluster.answers_plainly = False
    with cluster:
        yield cluster


@pytest.fixture
async def managed(
    tmp_path: Path, strict_broker: KafkaCluster, certificate: Certificate
) -> AsyncIterator[Site]:
    """A machine with the settings of the page; only places are put elsewhere."""
    [block, *_] = pages.blocks(PAGE, "sh")
    given = dict(line.removeprefix("export ").split("=", 1) for line in block.splitlines())
    (tmp_path / "password").write_text(PASSWORD)
    given |= {
        "HERALD_KAFKA__BOOTSTRAP_SERVERS": strict_broker.bootstrap_servers,
        "HERALD_KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "password"),
        "HERALD_KAFKA__SSL_CA_FILE": str(certificate.pem),
    }
    async with site(tmp_path, given) as one:
        yield one


def herald(one: Site, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*one.program, *words],
        cwd=one.folder,
        env=one.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def allow(cluster: KafkaCluster, certificate: Certificate, *header: str) -> None:
    """Gives the user herald the rights of a table of the page."""
    async with _admin(cluster, certificate) as admin:
        for kind, name, pattern, operations in pages.table(PAGE, *header):
            for operation in operations.split(", "):
                await _allow(admin, kind, pages.bare(name), pattern, operation)


async def allow_one(cluster: KafkaCluster, certificate: Certificate, *right: str) -> None:
    async with _admin(cluster, certificate) as admin:
        await _allow(admin, *right)


@contextlib.asynccontextmanager
async def _admin(cluster: KafkaCluster, certificate: Certificate) -> AsyncIterator[Any]:
    context = create_ssl_context(cafile=str(certificate.pem))
    admin = AIOKafkaAdminClient(
        bootstrap_servers=cluster.bootstrap_servers,
        security_protocol="SASL_SSL",
        ssl_context=context,
        sasl_mechanism=MECHANISM,
        sasl_plain_username=ADMIN,
        sasl_plain_password=PASSWORD,
    )
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _allow(admin: Any, kind: str, name: str, pattern: str, operation: str) -> None:
    answer = await admin._send_request(
        CreateAclsRequest(
            RESOURCES[kind],
            name,
            PATTERNS[pattern],
            "User:herald",
            "*",
            OPERATIONS[operation],
            ALLOW,
        )
    )
    assert [code for code, _ in answer.creation_responses] == [0], answer


async def test_with_the_page_s_settings_topics_and_rights_a_message_is_delivered(
    managed: Site, strict_broker: KafkaCluster, certificate: Certificate
) -> None:
    made = await asyncio.to_thread(herald, managed, "topics", "apply", HERALD_KAFKA__SASL_USERNAME=ADMIN)
    await allow(strict_broker, certificate, "resource", "name", "pattern", "operations")
    checked = await asyncio.to_thread(herald, managed, "config", "check")
    listed = await asyncio.to_thread(herald, managed, "topics", "list", "--json")
    async with SmtpTestServer() as mails, SmsTestProvider() as texts:
        managed.environ |= {"HERALD_SMTP__PORT": str(mails.port), "HERALD_SMS__URL": texts.url}
        managed.start("api")
        for group in managed.health_ports:
            managed.start_consumer(group)
        ready = await managed.ready() and all([await managed.consumer_ready(g) for g in managed.health_ports])
        taken = await managed.post(request_id="managed-1")
        told = await managed.answers(f"{managed.api}/api/v1/messages/managed-1", 200)
        lag = await asyncio.to_thread(herald, managed, "lag", "--json")
        said = managed.output()

        async def both_came() -> bool:
            return bool(mails.mails and texts.texts)

        assert made.returncode == 0, made.stderr
        assert checked.returncode == 0, checked.stderr
        assert listed.returncode == 0, listed.stderr
        assert ready, said
        assert taken.status_code == 202, taken.text
        assert told, said
        assert await eventually(both_came), managed.output()
        assert lag.returncode == 0, lag.stderr
        assert "does not allow" not in managed.output(), managed.output()


async def test_with_the_rights_to_make_topics_herald_makes_them_and_without_it_says_so(
    managed: Site, strict_broker: KafkaCluster, certificate: Certificate
) -> None:
    await allow(strict_broker, certificate, "resource", "name", "pattern", "operations")
    topics = {"HERALD_TOPICS": json.dumps([{"name": "transactions-2", "partitions": 1}])}

    refused = await asyncio.to_thread(herald, managed, "topics", "apply", **topics)
    await allow(strict_broker, certificate, "resource", "name", "pattern", "to make topics")
    made = await asyncio.to_thread(herald, managed, "topics", "apply", **topics)

    assert refused.returncode == 1
    assert "Error:" in refused.stderr
    assert made.returncode == 0, made.stderr


async def test_without_any_right_to_its_presence_topic_a_consumer_works_and_says_so_once(
    managed: Site, strict_broker: KafkaCluster, certificate: Certificate
) -> None:
    """As after an upgrade: the login has the rights that it had, and nobody made the new topic."""
    managed.environ |= {
        "HERALD_KAFKA__GROUP_PREFIX": "old-",
        "HERALD_TOPICS": json.dumps([{"name": "transactions-old", "partitions": 1, "groups": ["email"]}]),
    }
    managed.topic = "transactions-old"
    await allow(strict_broker, certificate, "resource", "name", "pattern", "operations")
    await allow(strict_broker, certificate, "resource", "name", "pattern", "to make topics")
    await allow_one(strict_broker, certificate, "group", "old-", "prefixed", "Read")
    async with SmtpTestServer() as mails:
        managed.environ |= {"HERALD_SMTP__PORT": str(mails.port)}
        managed.start("api")
        consumer = managed.start_consumer("email")
        ready = await managed.ready() and await managed.consumer_ready("email")
        await managed.post(request_id="old-1")

        async def it_came() -> bool:
            return bool(mails.mails)

        came = await eventually(it_came)
        log = managed.folder / "logs" / "herald-consumer-email.log"

        async def it_gave_up() -> bool:
            return "cannot tell how it stands" in log.read_text(encoding="utf-8")

        gave_up = await eventually(it_gave_up)
        # Three reports more, after which a client of another kind would be replaced, and say so.
        await asyncio.sleep(3 * USUAL_TIMES.tell + 1)
        consumer.terminate()
        code = await asyncio.to_thread(consumer.wait, 30)

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    told = [line["action"] for line in lines if line["level"] != "INFO" and "herald" in line["logger"]]
    assert gave_up, lines
    assert sorted(told) == ["presence", "presence_refused", "topic_single_copy"], lines
    assert code == 0
    assert ready, managed.output()
    assert came, managed.output()


async def test_a_dyno_gets_in_with_the_add_on_s_certificates_though_the_broker_has_another_name(
    managed: Site, strict_broker: KafkaCluster, certificate: Certificate
) -> None:
    pkcs12 = [
        "openssl",
        "pkcs12",
        "-in",
        str(certificate.store),
        "-passin",
        f"pass:{STORE_PASSWORD}",
        "-nodes",
    ]
    both = await asyncio.to_thread(subprocess.run, pkcs12, check=True, capture_output=True, text=True)
    port = strict_broker.settings["listeners"].rpartition(":")[2]
    dyno = {name: value for name, value in os.environ.items() if not name.startswith(("HERALD_", "KAFKA_"))}
    dyno |= {
        "KAFKA_URL": f"kafka+ssl://localhost:{port}",
        "KAFKA_TRUSTED_CERT": certificate.pem.read_text(),
        "KAFKA_CLIENT_CERT": both.stdout,
        "KAFKA_CLIENT_CERT_KEY": both.stdout,
    }
    start = [sys.executable, str(ROOT / "deploy" / "heroku" / "start.py"), "topics", "list", "--json"]

    async def listed(**environ: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run, start, cwd=managed.folder, env=dyno | environ, capture_output=True, text=True
        )

    let_in = await listed()
    strict_about_names = await listed(HERALD_KAFKA__SSL_CHECK_HOSTNAME="true")

    assert let_in.returncode == 0, let_in.stderr
    assert "topics" in json.loads(let_in.stdout)
    assert strict_about_names.returncode == 1
