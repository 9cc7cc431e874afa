"""The drill's load: messages over HTTP, each sent until it has its 202."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import count
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx

from domain.errors import HeraldError

KEYS = 24
_UNKEYED = 8  # callers whose messages have no key
_UNKEYED_PHONES = 5_000_000
_LONGEST_PAUSE = 1.0
_REQUEST_SECONDS = 30.0
_ACCEPTED, _SOME, _UNAVAILABLE = 202, 207, 503

Promised = Callable[[str, str | None], None]
"""Told of each 202: the request id and the key."""


class Pace:
    """Turns for all callers together, so many a second; what was missed is not made up for.

    `slowness`: how many times longer the gaps are.
    """

    def __init__(self, per_second: float) -> None:
        self.slowness = 1.0
        self._gap = 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._gap * self.slowness
        await asyncio.sleep(mine - now)


class Load:
    """Callers with a key each, and some without. An async context manager; leaving it drops the callers.

    A caller waits for the 202 of one message before it sends the next, so for each key the order of the
    202s is the log's order. A 503, or no answer, is sent again with the same request id until it is a 202.
    """

    def __init__(self, url: str, topic: str, per_second: float, promised: Promised, draw: Random) -> None:
        self._topic = topic
        self.pace = Pace(per_second)
        self._promised = promised
        self._draw = draw
        self._numbers = count()
        self._new_keys = count(KEYS)
        # Plain HTTP to the loopback: nothing of the machine's certificates or proxies is wanted.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx.AsyncClient(
            base_url=url, verify=context, timeout=_REQUEST_SECONDS, trust_env=False
        )
        self._stack = AsyncExitStack()
        self._callers: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()
        self.refused = 0  # how often the API did not answer 202

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        keys = [key_of(number) for number in range(KEYS)]
        self._callers = [asyncio.create_task(self._call(key)) for key in [*keys, *[None] * _UNKEYED]]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        await self._stack.aclose()

    def some_keys(self, most: int) -> list[str]:
        """Of the callers'."""
        return [key_of(number) for number in self._draw.sample(range(KEYS), most)]

    def new_keys(self, count: int) -> list[str]:
        """Keys that no caller has and none had."""
        return [key_of(next(self._new_keys)) for _ in range(count)]

    def check(self) -> None:
        """Raises what ended a caller."""
        for caller in self._callers:
            if caller.done():
                caller.result()

    async def stop(self) -> None:
        """On return every message that was begun has its 202. Raises `HeraldError`."""
        self._over.set()
        await asyncio.gather(*self._callers)

    async def burst(self, size: int, keys: Sequence[str] = (), depth: int = 0) -> None:
        """So many messages at once, of them `depth` for each key; on return each has its 202.

        The keys must be nobody else's: within one batch the log keeps the order, also where parts of it are
        sent again, but between requests at the same time there is none. Raises `HeraldError`.
        """
        keyed = [self._message(key) for _ in range(depth) for key in keys]
        messages = [*keyed, *(self._message(None) for _ in range(size - len(keyed)))]
        while messages:
            answer = await self._post("/api/v1/produce/batch", messages)
            messages = self._unconfirmed(messages, answer)

    async def _call(self, key: str | None) -> None:
        while not self._over.is_set():
            await self.pace.turn()
            message = self._message(key)
            while (await self._post("/api/v1/produce", message)) is None:
                continue
            self._promised(message["request_id"], key)

    def _message(self, key: str | None) -> dict[str, Any]:
        number = next(self._numbers)
        return {
            "topic_name": self._topic,
            "request_id": f"d{number}",
            "email": mail_address(key or f"free-{number}"),
            "phone": phone_number(int(key.removeprefix("key-")) if key else _UNKEYED_PHONES + number),
            "message_body": "Nothing is to be lost.",
            "transaction_id": f"T-{number}",
            **({"key": key} if key else {}),
        }

    async def _post(self, path: str, body: object) -> Any:
        """What a 202 or 207 says; None, after a pause, where it has to be sent again."""
        try:
            answer = await self._client.post(path, json=body)
        except httpx.TransportError:
            return await self._refused("")
        if answer.status_code == _UNAVAILABLE:
            return await self._refused(answer.headers.get("retry-after", ""))
        if answer.status_code not in {_ACCEPTED, _SOME}:
            raise HeraldError(
                f"the API answered {answer.status_code} to a right message: {answer.text[:200]}"
            )
        return answer.json()

    async def _refused(self, retry_after: str) -> None:
        self.refused += 1
        await asyncio.sleep(min(float(retry_after or 0.2), _LONGEST_PAUSE))

    def _unconfirmed(self, messages: Sequence[dict[str, Any]], answer: Any) -> list[dict[str, Any]]:
        if answer is None:
            return list(messages)
        again = []
        for message, result in zip(messages, answer["results"], strict=True):
            if "error" in result:
                again.append(message)
            else:
                self._promised(message["request_id"], message.get("key"))
        return again


def key_of(number: int) -> str:
    return f"key-{number}"


def mail_address(who: str) -> str:
    return f"{who}@drill.example.com"


def phone_number(number: int) -> str:
    return f"+1555{number:07d}"


def recipients(channel: str, keys: Sequence[str]) -> set[str]:
    """Where the messages of these keys go."""
    if channel == "email":
        return {mail_address(key) for key in keys}
    return {phone_number(int(key.removeprefix("key-"))) for key in keys}
