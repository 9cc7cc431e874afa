"""The floor of an SMS sender: `python -m benchmarks.bare_sms PORT CONNECTIONS COUNT CLIENTS`.

A bare httpx loop over kept connections, parted among so many clients: it posts the same form as Herald and
reads the answer's `sid`. No log, no order, no ledger, no retry.
"""

import asyncio
import gc
import sys
from collections.abc import Iterator

import httpx

from adapters.jinja_templates import JinjaTemplates
from application.notify_sms import idempotency_key
from benchmarks.fill import notification
from benchmarks.site import KEYS
from entrypoints.settings_model import Settings

_SMS = Settings().sms
Posted = tuple[dict[str, str], dict[str, str]]
"""A form and the headers beside it."""


def _texts(count: int) -> Iterator[Posted]:
    templates = JinjaTemplates()
    for number in range(count):
        message = notification(number, f"customer-{number % KEYS}", "bare-sms")
        form = {"To": message.phone or "", "From": _SMS.sender, "Body": templates.text(message)}
        yield form, {"Idempotency-Key": idempotency_key(message)}


async def _send(client: httpx.AsyncClient, texts: Iterator[Posted]) -> None:
    path = f"/2010-04-01/Accounts/{_SMS.account_sid}/Messages.json"
    for form, headers in texts:
        answer = await client.post(path, data=form, headers=headers)
        assert answer.raise_for_status().json()["sid"]


def _client(port: int, connections: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        auth=(_SMS.account_sid, _SMS.auth_token.get_secret_value()),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        trust_env=False,
    )


async def _run(port: int, connections: int, count: int, clients: int) -> None:
    texts = list(_texts(count))
    gc.collect()
    gc.freeze()
    rest, each = iter(texts), connections // clients
    senders = [client for client in [_client(port, each) for _ in range(clients)] for _ in range(each)]
    await asyncio.gather(*(_send(client, rest) for client in senders))


if __name__ == "__main__":
    asyncio.run(_run(*map(int, sys.argv[1:])))
