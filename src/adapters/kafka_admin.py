"""Short conversations with Kafka's administration: open, ask and close, all in bounded time."""

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
    client = admin_class(**connection.client_options(), request_timeout_ms=int(1000 * seconds))
    try:
        async with asyncio.timeout(seconds):
            await start_whole(client)
            yield client
    except HeraldError:
        raise
    except _NO_ANSWER as error:
        raise LogUnavailable(
            f"{explain(error)}; check that it runs at {connection.bootstrap_servers}"
        ) from error
    finally:
        await stop_in_time(client, CLOSE_SECONDS)
