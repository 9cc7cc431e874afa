"""The doctor's look at the mail server, against real servers on loopback: each way it can fail."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.smtp_connection import SmtpServer
from adapters.smtp_probe import SmtpProbe
from domain.diagnosis import Finding, FindingState
from tests.free_ports import free_ports
from tests.smtp_server import CLOSE, HANG, Answer, SmtpTestServer, raw, say
from tests.tls_certificate import make_certificate

NO_NAME = f"{'a' * 64}.test"  # too long a label: no name server is asked
Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def server() -> AsyncIterator[SmtpTestServer]:
    async with SmtpTestServer() as running:
        yield running


async def look(
    port: int, *, seconds: float = 5.0, trusting: ssl.SSLContext | None = None, **of: Any
) -> Finding:
    settings = SmtpServer(**{"host": "127.0.0.1", "port": port, "sender": "a@x.test", **of})
    seen = await SmtpProbe(settings, "client.test", tls_context=trusting, seconds=seconds).look()
    for _ in range(5):  # TLS says goodbye after the probe has gone
        await asyncio.sleep(0)
    [finding] = seen.findings
    assert finding.name == "mail server"
    return finding


async def test_a_server_that_answers_is_well_and_gets_no_mail(server: SmtpTestServer) -> None:
    finding = await look(server.port)
    await server.saw("QUIT")

    assert finding.state is FindingState.OK
    assert finding.says == f"127.0.0.1:{server.port} answers; not encrypted"
    assert [line.split()[0] for line in server.commands] == ["EHLO", "QUIT"]


async def test_a_right_login_is_said_to_be_taken() -> None:
    async with SmtpTestServer(password="right") as server:
        finding = await look(server.port, username="user", password="right")

    assert (finding.state, finding.says) == (
        FindingState.OK,
        f"127.0.0.1:{server.port} answers, and takes the login; not encrypted",
    )


async def test_a_wrong_login_is_wrong_and_the_password_is_not_told() -> None:
    async with SmtpTestServer(password="right") as server:
        finding = await look(server.port, username="user", password="hunter2")

    assert finding.state is FindingState.WRONG
    assert "AUTH: 535" in finding.says
    assert finding.remedy.startswith("set smtp.username and smtp.password")
    assert "hunter2" not in finding.says


async def test_a_closed_port_is_wrong() -> None:
    [port] = free_ports(1)

    finding = await look(port)

    assert finding.state is FindingState.WRONG
    assert finding.says == f"127.0.0.1:{port}, connecting: refused"
    assert "herald inbox" in finding.remedy


@pytest.mark.parametrize(
    ("phase", "answer", "said"),
    [
        ("connect", HANG, "connecting: no answer in time"),
        ("connect", CLOSE, "connecting: "),
        ("connect", raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", "close"), "connecting: "),
        ("connect", say("421 too busy"), "connecting: 421 too busy"),
        ("EHLO", HANG, "EHLO: no answer in time"),
        ("EHLO", CLOSE, "EHLO: "),
        ("EHLO", say("550 not you"), "EHLO: 550 not you"),
    ],
    ids=["a black hole", "closed", "HTTP", "busy", "silent", "closed later", "refused"],
)
async def test_a_server_that_does_not_answer_as_it_should_is_wrong(
    server: SmtpTestServer, phase: str, answer: Answer, said: str
) -> None:
    server.always[phase] = answer
    if said.startswith("EHLO: 550"):
        server.always["other"] = answer  # HELO is no better

    finding = await look(server.port, seconds=0.2)

    assert finding.state is FindingState.WRONG
    assert said in finding.says
    assert "smtp." in finding.remedy


async def test_encryption_is_told_with_how_long_the_certificate_holds(contexts: Contexts) -> None:
    async with SmtpTestServer(tls=contexts[0]) as server:
        finding = await look(server.port, tls="starttls", trusting=contexts[1])

    assert finding.state is FindingState.WARNING  # of two days
    assert "answers over TLSv1.3; its certificate holds for 2 days" in finding.says
    assert finding.remedy == "have the mail server's certificate renewed"


async def test_a_certificate_of_nobody_s_is_wrong(contexts: Contexts) -> None:
    async with SmtpTestServer(tls=contexts[0]) as server:
        finding = await look(server.port, tls="starttls")

    assert finding.state is FindingState.WRONG
    assert "STARTTLS: " in finding.says
    assert "CERTIFICATE_VERIFY_FAILED" in finding.says
    assert "certificate" in finding.remedy


async def test_a_server_without_starttls_is_wrong_where_it_is_asked_for(server: SmtpTestServer) -> None:
    finding = await look(server.port, tls="starttls")

    assert (finding.state, "STARTTLS" in finding.says) == (FindingState.WRONG, True)
    assert finding.remedy.startswith("set smtp.tls")


async def test_tls_at_a_port_that_speaks_plainly_is_wrong(server: SmtpTestServer, contexts: Contexts) -> None:
    finding = await look(server.port, tls="tls", trusting=contexts[1])

    assert finding.state is FindingState.WRONG
    assert "smtp.tls" in finding.remedy


async def test_plain_words_at_a_port_that_speaks_tls_are_wrong(contexts: Contexts) -> None:
    async with SmtpTestServer(tls=contexts[0], tls_at_once=True) as server:
        finding = await look(server.port, seconds=0.2)

    assert finding.state is FindingState.WRONG
    assert "smtp.tls" in finding.remedy


async def test_a_name_that_leads_nowhere_is_told_as_such() -> None:
    finding = await look(1, host=NO_NAME)

    assert finding.state is FindingState.WRONG
    assert finding.says == f"the name {NO_NAME} has no address (no host name)"
    assert finding.remedy == "set smtp.host, or mend the name server"
