"""Conversations with Kafka's administration, each in bounded time: one alone, or one after the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import errors

from adapters.kafka_connection import KafkaConnection, explain, start_whole, stop_in_time
from domain.errors import HeraldError, LogUnavailable

AdminClass = Callable[..., Any]
CLOSE_SECONDS = 3.0

# What aiokafka's admin client lets through besides `KafkaError` when brokers come and go: it takes the
# controller or a field of an answer for granted.
_NO_ANSWER = (errors.KafkaError, OSError, TimeoutError, AttributeError, AssertionError, KeyError)


@contextlib.asynccontextmanager
async def admin_client(
    connection: KafkaConnection, admin_class: AdminClass, seconds: float
) -> AsyncIterator[Any]:
    """A started admin client for at most `seconds`. Raises `LogUnavailable` for whatever stays unanswered."""
    kept = KeptAdmin(connection, admin_class, seconds)
    try:
        async with kept.conversation() as client:
            yield client
    finally:
        await kept.close()


class KeptAdmin:
    """One client for many conversations: each client asks Kafka for all the topics it has, in several steps.

    After a conversation that failed or was broken off the next one begins with a new client: its connection
    may be dead without anybody having been told. `seconds`: for each conversation.
    """

    def __init__(self, connection: KafkaConnection, admin_class: AdminClass, seconds: float) -> None:
        self._connection = connection
        self._admin_class = admin_class
        self._seconds = seconds
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._leavers: set[asyncio.Task[bool]] = set()

    @contextlib.asynccontextmanager
    async def conversation(self) -> AsyncIterator[Any]:
        """A started client. Raises `LogUnavailable` for whatever stays unanswered."""
        client = None
        try:
            async with asyncio.timeout(self._seconds):
                client = await self._opened()
                yield client
        except BaseException as error:
            if client is not None and client is self._client:
                self._client = None
                self._leave(client)
            if isinstance(error, _NO_ANSWER) and not isinstance(error, HeraldError):
                raise LogUnavailable(
                    f"{explain(error)}; check that it runs at {self._connection.bootstrap_servers}"
                ) from error
            raise

    async def close(self) -> None:
        """The next conversation begins with a new client."""
        client, self._client = self._client, None
        if client is not None:
            self._leave(client)
        await asyncio.gather(*self._leavers)

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                timeout_ms = int(1000 * self._seconds)
                client = self._admin_class(**self._connection.client_options(), request_timeout_ms=timeout_ms)
                try:
                    await start_whole(client)
                except BaseException:
                    self._leave(client)
                    raise
                self._client = client
            return self._client

    def _leave(self, client: Any) -> None:
        """Beside whatever goes on: who was broken off has no time left."""
        leaver = asyncio.create_task(stop_in_time(client, CLOSE_SECONDS), name="kafka-admin-leaves")
        self._leavers.add(leaver)
        leaver.add_done_callback(self._leavers.discard)
