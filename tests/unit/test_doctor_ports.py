"""What the doctor says of ports: free, Herald's, or another program's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from domain.diagnosis import Finding, FindingState, ok
from entrypoints.consumer_probes import ConsumerProbes, serving_probes
from entrypoints.doctor_ports import PortsProbe
from entrypoints.inbox import Inbox, InboxOptions
from tests.free_ports import free_ports

HOST = "127.0.0.1"


async def look(*ports: int, seconds: float = 5.0) -> list[Finding]:
    probe = PortsProbe([(HOST, port, "[api] port") for port in ports], seconds)
    seen = await probe.look()
    assert [one.name for one in seen.findings] == list(probe.names)
    return list(seen.findings)


@contextlib.asynccontextmanager
async def program(says: bytes, *, closes: bool) -> AsyncIterator[int]:
    """Somebody else's, that says this to whoever comes."""
    writers = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(says)
        if closes:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def test_a_free_port_is_well_and_still_free_afterwards() -> None:
    [port] = free_ports(1)

    findings = [*await look(port), *await look(port)]

    assert findings == [ok(f"port {port}", "free ([api] port): nothing of Herald's listens there")] * 2


async def test_any_free_port_is_no_port_to_look_at() -> None:
    assert await look(0) == []


async def test_herald_s_own_ports_are_told_from_others() -> None:
    async with Inbox(InboxOptions(smtp_port=0, sms_port=0, http_port=0)) as inbox:
        findings = await look(inbox.ports.smtp, inbox.ports.sms, inbox.ports.http)

    assert [one.says for one in findings] == ["in use by Herald ([api] port)"] * 3


async def test_a_consumer_s_port_is_herald_s() -> None:
    async def ready() -> None:
        return None

    probes = ConsumerProbes(live=lambda: None, ready=ready, metrics=lambda: b"")
    async with serving_probes(probes, HOST, 0) as port:
        [finding] = await look(port)

    assert finding.state is FindingState.OK


@pytest.mark.parametrize(
    ("says", "closes"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", True),
        (b"220 mail.test ESMTP Postfix\r\n", False),
        (b"", False),
        (b"", True),
    ],
    ids=["HTTP", "mail server", "a black hole", "closed"],
)
async def test_a_port_of_another_program_is_wrong(says: bytes, *, closes: bool) -> None:
    async with program(says, closes=closes) as port:
        [finding] = await look(port, seconds=0.2)

    assert finding.state is FindingState.WRONG
    assert finding.says == "in use, and not by a Herald that answers ([api] port)"
    assert finding.remedy == "stop what listens there, or set [api] port to another"


async def test_an_address_that_is_not_this_machine_s_is_wrong() -> None:
    [finding] = (await PortsProbe([("192.0.2.1", 8080, "[api] port")]).look()).findings

    assert finding.state is FindingState.WRONG
    assert "cannot listen on 192.0.2.1 port 8080" in finding.says
    assert finding.remedy == "check the host beside [api] port"
