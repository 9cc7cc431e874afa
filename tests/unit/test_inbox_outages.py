import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiosmtplib
import httpx
import pytest

from entrypoints.inbox import Inbox, InboxOptions
from entrypoints.inbox_outage import Outage, Switch, SwitchedService
from entrypoints.listening import listen_on
from tests.plain_client import plain_client

OPTIONS = InboxOptions(smtp_port=0, sms_port=0, http_port=0, slow_seconds=0.05)
SMS_PATH = "/2010-04-01/Accounts/AC1/Messages.json"
FORM = {"To": "+491701234567", "From": "+15005550006", "Body": "hello"}
MAIL = b"Subject: x\r\n\r\nbody\r\n"


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox(OPTIONS) as running:
        yield running


@pytest.fixture
async def api(inbox: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    async with plain_client(f"http://127.0.0.1:{inbox.ports.http}") as client:
        yield client


@pytest.fixture
async def provider(inbox: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    base_url = f"http://127.0.0.1:{inbox.ports.sms}"
    async with plain_client(base_url, auth=("AC1", "x")) as client:
        yield client


@pytest.fixture
async def smtp(inbox: Inbox) -> AsyncIterator[aiosmtplib.SMTP]:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp, timeout=5)
    await client.connect()
    yield client
    client.close()


@pytest.fixture
async def inbox_of_half_a_minute() -> AsyncIterator[Inbox]:
    async with Inbox(InboxOptions(smtp_port=0, sms_port=0, http_port=0, slow_seconds=30)) as running:
        yield running


@pytest.fixture
async def api_of_half_a_minute(inbox_of_half_a_minute: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    base_url = f"http://127.0.0.1:{inbox_of_half_a_minute.ports.http}"
    async with plain_client(base_url) as client:
        yield client


async def switch(api: httpx.AsyncClient, **states: str) -> None:
    answer = await api.put("/api/v1/inbox/outage", json=states)
    answer.raise_for_status()


async def totals(api: httpx.AsyncClient) -> Any:
    return (await api.get("/api/v1/inbox")).json()["totals"]


async def send_mail(port: int) -> None:
    await aiosmtplib.send(
        MAIL, sender="s@example.com", recipients=["r@example.com"], hostname="127.0.0.1", port=port
    )


async def test_a_busy_mail_server_puts_each_recipient_off(
    api: httpx.AsyncClient, smtp: aiosmtplib.SMTP
) -> None:
    await switch(api, email="busy")
    await smtp.mail("s@example.com")
    with pytest.raises(aiosmtplib.SMTPRecipientRefused) as refused:
        await smtp.rcpt("r@example.com")
    await smtp.rset()
    await switch(api, email="up")
    await smtp.sendmail("s@example.com", ["r@example.com"], MAIL)

    assert (refused.value.code, refused.value.message[:5]) == (451, "4.7.1")
    assert await totals(api) == {"emails": 1, "sms": 0}


async def test_a_rejecting_mail_server_refuses_each_recipient(
    api: httpx.AsyncClient, smtp: aiosmtplib.SMTP
) -> None:
    await switch(api, email="reject")
    await smtp.mail("s@example.com")
    with pytest.raises(aiosmtplib.SMTPRecipientRefused) as refused:
        await smtp.rcpt("r@example.com")

    assert (refused.value.code, refused.value.message[:5]) == (550, "5.1.1")
    assert await totals(api) == {"emails": 0, "sms": 0}


async def test_a_busy_provider_asks_to_come_again(
    api: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    await switch(api, sms="busy")
    answer = await provider.post(SMS_PATH, data=FORM)

    assert (answer.status_code, answer.json()["code"]) == (429, 20429)
    assert answer.headers["Retry-After"] == "1"
    assert await totals(api) == {"emails": 0, "sms": 0}


async def test_a_rejecting_provider_refuses_the_number(
    api: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    await switch(api, sms="reject")
    answer = await provider.post(SMS_PATH, data=FORM)

    assert (answer.status_code, answer.json()["code"]) == (400, 21211)
    assert await totals(api) == {"emails": 0, "sms": 0}


async def test_a_mail_server_that_is_down_drops_its_clients_and_refuses_new_ones(
    inbox: Inbox, api: httpx.AsyncClient, smtp: aiosmtplib.SMTP
) -> None:
    await switch(api, email="down")
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await smtp.noop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", inbox.ports.smtp)

    assert await totals(api) == {"emails": 0, "sms": 0}


async def test_a_mail_server_comes_back_on_the_same_port(inbox: Inbox, api: httpx.AsyncClient) -> None:
    await switch(api, email="down")
    await switch(api, email="up")
    await send_mail(inbox.ports.smtp)
    await switch(api, email="down")
    await switch(api, email="up")
    await send_mail(inbox.ports.smtp)

    assert await totals(api) == {"emails": 2, "sms": 0}


async def test_a_provider_that_is_down_drops_its_clients_and_refuses_new_ones(
    inbox: Inbox, api: httpx.AsyncClient
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", inbox.ports.sms)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"}")
    await switch(api, sms="down")
    rest = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", inbox.ports.sms)

    assert rest == b""


async def test_a_provider_comes_back_on_the_same_port(
    inbox: Inbox, api: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    await provider.post(SMS_PATH, data=FORM)
    await switch(api, sms="down")
    with pytest.raises(httpx.ConnectError):
        await provider.post(SMS_PATH, data=FORM)
    await switch(api, sms="up")
    await provider.post(SMS_PATH, data=FORM)

    assert await totals(api) == {"emails": 0, "sms": 2}


async def test_one_service_down_leaves_the_other_alone(
    inbox: Inbox, api: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    await switch(api, email="down")
    answer = await provider.post(SMS_PATH, data=FORM)
    await switch(api, email="up", sms="down")
    await send_mail(inbox.ports.smtp)

    assert answer.status_code == 201
    assert await totals(api) == {"emails": 1, "sms": 1}


async def test_a_slow_mail_server_takes_the_mail_and_says_so_late(
    inbox: Inbox, api: httpx.AsyncClient
) -> None:
    await switch(api, email="slow")
    started = asyncio.get_running_loop().time()
    await send_mail(inbox.ports.smtp)

    assert asyncio.get_running_loop().time() - started >= 0.05
    assert await totals(api) == {"emails": 1, "sms": 0}


async def test_a_client_that_hung_up_on_a_slow_mail_server_has_sent_nothing(
    inbox: Inbox, api: httpx.AsyncClient, smtp: aiosmtplib.SMTP
) -> None:
    await switch(api, email="slow")
    await smtp.mail("s@example.com")
    await smtp.rcpt("r@example.com")
    with pytest.raises(aiosmtplib.SMTPReadTimeoutError):
        await smtp.data(MAIL, timeout=0.01)
    smtp.close()
    # This one waits as long and began later: when it is through, the first one's wait is over.
    await send_mail(inbox.ports.smtp)

    assert await totals(api) == {"emails": 1, "sms": 0}


async def test_a_slow_provider_takes_the_text_and_says_so_late(
    api: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    await switch(api, sms="slow")
    started = asyncio.get_running_loop().time()
    answer = await provider.post(SMS_PATH, data=FORM)

    assert answer.status_code == 201
    assert asyncio.get_running_loop().time() - started >= 0.05
    assert await totals(api) == {"emails": 0, "sms": 1}


async def test_a_client_that_hung_up_on_a_slow_provider_has_sent_nothing(
    api: httpx.AsyncClient, provider: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await switch(api, sms="slow")
    with pytest.raises(httpx.ReadTimeout):
        await provider.post(SMS_PATH, data=FORM, timeout=0.01)
    await provider.post(SMS_PATH, data=FORM)

    assert await totals(api) == {"emails": 0, "sms": 1}
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_client_that_goes_before_its_text_is_whole_has_sent_nothing(
    inbox: Inbox, api: httpx.AsyncClient, provider: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", inbox.ports.sms)
    writer.write(f"POST {SMS_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eA==\r\n".encode())
    writer.write(b"Content-Length: 500\r\n\r\nTo=")
    writer.close()
    await writer.wait_closed()
    await provider.post(SMS_PATH, data=FORM)

    assert await totals(api) == {"emails": 0, "sms": 1}
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def let_the_server_read(api: httpx.AsyncClient) -> None:
    """What was written before these requests has been read before they are answered."""
    for _ in range(3):
        await api.get("/")


async def test_going_down_ends_a_slow_mail_and_keeps_nothing(
    inbox_of_half_a_minute: Inbox, api_of_half_a_minute: httpx.AsyncClient
) -> None:
    inbox, api = inbox_of_half_a_minute, api_of_half_a_minute
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp) as smtp:
        await switch(api, email="slow")
        await smtp.mail("s@example.com")
        await smtp.rcpt("r@example.com")
        sending = asyncio.create_task(smtp.data(MAIL))
        await let_the_server_read(api)
        await switch(api, email="down")
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await sending

    assert await totals(api) == {"emails": 0, "sms": 0}


async def test_going_down_ends_a_slow_text_and_keeps_nothing(
    inbox_of_half_a_minute: Inbox, api_of_half_a_minute: httpx.AsyncClient
) -> None:
    inbox, api = inbox_of_half_a_minute, api_of_half_a_minute
    base_url = f"http://127.0.0.1:{inbox.ports.sms}"
    async with plain_client(base_url, auth=("AC1", "x")) as provider:
        await provider.get("/")
        await switch(api, sms="slow")
        sending = asyncio.create_task(provider.post(SMS_PATH, data=FORM))
        await let_the_server_read(api)
        await switch(api, sms="down")
        with pytest.raises(httpx.RemoteProtocolError):
            await sending

    assert await totals(api) == {"emails": 0, "sms": 0}


@pytest.mark.parametrize("service", ["email", "sms"])
async def test_a_connection_accepted_just_before_going_down_is_dropped_too(
    inbox: Inbox, api: httpx.AsyncClient, service: str
) -> None:
    # Such a one was not yet known when the open connections were dropped, and lived on.
    ports = {"email": inbox.ports.smtp, "sms": inbox.ports.sms}
    sock = socket.create_connection(("127.0.0.1", ports[service]))
    await switch(api, **{service: "down"})
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        rest = await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        rest = b""
    writer.close()

    assert rest in {b"", b"220 inbox.herald.localhost Herald inbox\r\n"}


async def test_an_outage_change_is_one_line_in_the_log(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "herald.inbox")
    await switch(api, email="busy", sms="up")
    lines = [record.__dict__ for record in caplog.records if record.name == "herald.inbox"]

    assert [(line["action"], line["service"], line["state"]) for line in lines] == [
        ("inbox_outage_changed", "email", "busy")
    ]


async def test_switching_from_many_sides_at_once_ends_in_a_working_service(
    inbox: Inbox, api: httpx.AsyncClient
) -> None:
    await asyncio.gather(
        *(switch(api, email=state, sms=state) for state in ["down", "up", "slow", "down"] * 5)
    )
    await switch(api, email="up", sms="up")
    await send_mail(inbox.ports.smtp)

    assert await totals(api) == {"emails": 1, "sms": 0}


class CountingListener:
    """Listens on what it is given; keeps how often it was opened."""

    def __init__(self) -> None:
        self.opened = 0
        self.reopened = asyncio.Event()
        self._sock: socket.socket | None = None

    async def open(self, sock: socket.socket) -> None:
        self.opened += 1
        self._sock = sock
        self.reopened.set()

    async def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


async def test_a_port_that_another_program_took_meanwhile_is_waited_for() -> None:
    listener = CountingListener()
    service = SwitchedService("sms", "127.0.0.1", Switch(), listener)
    await service.start(listen_on("127.0.0.1", 0, "[inbox] sms_port"))
    await service.change(Outage.DOWN)
    with listen_on("127.0.0.1", service.port, "[inbox] sms_port"):
        await service.change(Outage.UP)
        opened_while_taken = listener.opened
        listener.reopened.clear()
    await listener.reopened.wait()
    opened = listener.opened
    await service.stop()

    assert (opened_while_taken, opened) == (1, 2)


async def test_a_service_that_still_waits_for_its_port_can_go_down_and_stop() -> None:
    listener = CountingListener()
    service = SwitchedService("sms", "127.0.0.1", Switch(), listener)
    await service.start(listen_on("127.0.0.1", 0, "[inbox] sms_port"))
    await service.change(Outage.DOWN)
    with listen_on("127.0.0.1", service.port, "[inbox] sms_port"):
        await service.change(Outage.BUSY)
        await service.change(Outage.DOWN)
        await service.change(Outage.SLOW)
        await service.stop()

    assert listener.opened == 1
