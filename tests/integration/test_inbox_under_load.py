"""Many clients at once, and a reader who asks for everything meanwhile."""

import asyncio
from collections import Counter
from typing import Any

import aiosmtplib
import httpx

from entrypoints.inbox import Inbox, InboxOptions
from tests.plain_client import plain_client

CONNECTIONS = 200
MAILS = 2000
TEXTS = 500
OPTIONS = InboxOptions(smtp_port=0, sms_port=0, http_port=0)
SMS_PATH = "/2010-04-01/Accounts/AC1/Messages.json"


async def send_mails(port: int, connection: int) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, timeout=30) as smtp:
        for number in range(connection, MAILS, CONNECTIONS):
            await smtp.mail("s@example.com")
            await smtp.rcpt(f"r{number}@example.com")
            await smtp.data(b"Subject: %d\r\n\r\nbody\r\n" % number)


async def send_texts(provider: httpx.AsyncClient, worker: int) -> None:
    for number in range(worker, TEXTS, 32):
        form = {"To": "+491701234567", "From": "+15005550006", "Body": str(number)}
        (await provider.post(SMS_PATH, data=form)).raise_for_status()


async def read_all(api: httpx.AsyncClient) -> Any:
    return (await api.get("/api/v1/inbox", params={"limit": 10_000})).json()


async def read_until(api: httpx.AsyncClient, done: asyncio.Event) -> int:
    reads = 0
    while not done.is_set():
        await read_all(api)
        reads += 1
    return reads


async def test_everything_arrives_once_from_hundreds_of_clients_while_somebody_reads() -> None:
    done = asyncio.Event()
    limits = httpx.Limits(max_connections=32)
    async with (
        Inbox(OPTIONS) as inbox,
        plain_client(f"http://127.0.0.1:{inbox.ports.http}", timeout=60) as api,
        plain_client(
            f"http://127.0.0.1:{inbox.ports.sms}", auth=("AC1", "x"), limits=limits, timeout=60
        ) as provider,
    ):
        reading = asyncio.create_task(read_until(api, done))
        await asyncio.gather(
            *(send_mails(inbox.ports.smtp, connection) for connection in range(CONNECTIONS)),
            *(send_texts(provider, worker) for worker in range(32)),
        )
        done.set()
        reads = await reading
        everything = await read_all(api)

    assert reads > 1
    assert everything["totals"] == {"emails": MAILS, "sms": TEXTS}
    assert Counter(mail["subject"] for mail in everything["emails"]) == Counter(map(str, range(MAILS)))
    assert Counter(text["body"] for text in everything["sms"]) == Counter(map(str, range(TEXTS)))
