import asyncio

import httpx
import pytest

from domain.errors import HeraldError
from entrypoints.inbox import Inbox, InboxOptions, InboxPorts, serve_inbox
from entrypoints.listening import listen_on
from tests.plain_client import plain_client


async def test_it_tells_its_ports_when_ready_and_frees_them_when_stopped() -> None:
    stop = asyncio.Event()
    ready: asyncio.Future[InboxPorts] = asyncio.get_running_loop().create_future()
    options = InboxOptions(smtp_port=0, sms_port=0, http_port=0)
    serving = asyncio.create_task(serve_inbox(options, stop=stop, ready=ready.set_result))
    ports = await ready
    async with plain_client() as client:
        answer = await client.get(f"http://127.0.0.1:{ports.http}/api/v1/inbox")
        stop.set()
        await asyncio.wait_for(serving, 5)
    freed = [listen_on("127.0.0.1", port, "") for port in (ports.smtp, ports.sms, ports.http)]
    for sock in freed:
        sock.close()

    assert answer.status_code == 200
    assert len({ports.smtp, ports.sms, ports.http}) == 3


async def test_it_stops_at_once_while_a_client_waits_for_a_slow_answer() -> None:
    stop = asyncio.Event()
    stop.set()
    options = InboxOptions(smtp_port=0, sms_port=0, http_port=0, slow_seconds=30)
    async with Inbox(options) as inbox, plain_client(auth=("AC1", "x")) as client:
        await client.get(f"http://127.0.0.1:{inbox.ports.sms}/")
        await client.put(f"http://127.0.0.1:{inbox.ports.http}/api/v1/inbox/outage", json={"sms": "slow"})
        path = f"http://127.0.0.1:{inbox.ports.sms}/2010-04-01/Accounts/AC1/Messages.json"
        form = {"To": "+491701234567", "From": "x", "Body": "y"}
        sending = asyncio.create_task(client.post(path, data=form))
        for _ in range(3):
            await client.get(f"http://127.0.0.1:{inbox.ports.http}/")
    with pytest.raises(httpx.TransportError):
        await sending


@pytest.mark.parametrize("setting", ["smtp_port", "sms_port", "http_port"])
async def test_a_port_in_use_is_one_line_that_names_port_and_setting(setting: str) -> None:
    with listen_on("127.0.0.1", 0, "") as taken:
        port = taken.getsockname()[1]
        chosen = {"smtp_port": 0, "sms_port": 0, "http_port": 0} | {setting: port}
        with pytest.raises(HeraldError) as refusal:
            await serve_inbox(InboxOptions(**chosen), stop=asyncio.Event())

    assert str(port) in str(refusal.value)
    assert f"[inbox] {setting}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "x" * 64 + ".localhost"])
async def test_a_host_that_is_not_this_machine_is_one_line(host: str) -> None:
    with pytest.raises(HeraldError, match=r"\[inbox\] smtp_port"):
        await serve_inbox(InboxOptions(host=host), stop=asyncio.Event())


async def test_it_listens_on_ipv6_too() -> None:
    options = InboxOptions(host="::1", smtp_port=0, sms_port=0, http_port=0)
    async with Inbox(options) as inbox, plain_client() as client:
        answer = await client.get(f"http://[::1]:{inbox.ports.http}/api/v1/inbox")

    assert answer.status_code == 200


async def test_its_start_and_its_end_are_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "herald.inbox")
    stop = asyncio.Event()
    stop.set()
    await serve_inbox(InboxOptions(smtp_port=0, sms_port=0, http_port=0), stop=stop)

    assert [record.__dict__["action"] for record in caplog.records] == ["inbox_started", "inbox_stopped"]
