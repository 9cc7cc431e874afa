"""How the processes on this machine are: each asked over its own port, all at once, for a few seconds."""

import asyncio
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from entrypoints.settings_model import Settings
from entrypoints.welcome import url_of

ASK_SECONDS = 3.0
_MOST_BYTES = 65_536
_LONGEST_REASON = 200  # characters


class Health(StrEnum):
    """What a process is found to be."""

    WELL = "well"
    UNWELL = "unwell"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Asked:
    """One process: where it was asked, and what came back. `reason` is empty where all is well."""

    process: str
    url: str
    health: Health
    reason: str = ""


def places_to_ask(settings: Settings, *, live: bool) -> Iterator[tuple[str, str]]:
    """Each process whose port the settings name, and the address that tells how it is.

    `live`: whether it moves, instead of whether it can do its job. The inbox has one answer to both.
    """
    path = "/health/live" if live else "/health/ready"
    api, consumer, inbox = settings.api, settings.consumer, settings.inbox
    for process, host, port, asked in (
        ("api", api.host, api.port, path),
        ("consumer", consumer.host, consumer.port, path),
        ("inbox", inbox.host, inbox.http_port, "/api/v1/inbox/outage"),
    ):
        if port:
            yield process, url_of(host, port) + asked


async def ask_all(settings: Settings, *, live: bool, seconds: float = ASK_SECONDS) -> Sequence[Asked]:
    """What each says. `seconds`: for an answer that is whole."""
    places = places_to_ask(settings, live=live)
    return await asyncio.gather(*(_ask(process, url, seconds) for process, url in places))


async def _ask(process: str, url: str, seconds: float) -> Asked:
    try:
        async with asyncio.timeout(seconds):
            answer = await _get(url)
    except ConnectionRefusedError:
        return Asked(process, url, Health.ABSENT, "nothing listens there")
    except TimeoutError:
        return Asked(process, url, Health.UNWELL, f"no answer within {seconds:g} seconds")
    except OSError as error:
        return Asked(process, url, Health.UNWELL, error.strerror or "the connection broke")
    status, reason = _read(answer)
    if status == "200":
        return Asked(process, url, Health.WELL)
    return Asked(process, url, Health.UNWELL, reason or f"it answers {status or 'no HTTP'}")


async def _get(url: str) -> bytes:
    """All of a short answer. HTTP/1.0: it ends with the connection and comes in one piece."""
    address = urlsplit(url)
    # The first of the name's addresses, where Herald listens; of several that refuse asyncio does not say so.
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.hostname, address.port, type=socket.SOCK_STREAM)
    ip = str(found[0][4][0])
    reader, writer = await asyncio.open_connection(ip, address.port)
    try:
        writer.write(f"GET {address.path} HTTP/1.0\r\nHost: {address.netloc}\r\n\r\n".encode())
        answer = b""
        while len(answer) < _MOST_BYTES and (more := await reader.read(_MOST_BYTES)):
            answer += more
        return answer
    finally:
        writer.transport.abort()


def _read(answer: bytes) -> tuple[str, str]:
    """The status, and the reason that a body of ours gives; both empty where it is not HTTP."""
    head, _, body = answer.partition(b"\r\n\r\n")
    protocol, _, rest = head.decode("latin-1").partition(" ")
    status = rest[:3] if protocol.startswith("HTTP/") else ""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return status, ""
    given = (told.get("reason") or told.get("detail")) if isinstance(told, dict) else ""
    return status, str(given or "")[:_LONGEST_REASON]
