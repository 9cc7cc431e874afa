"""Fills a topic before it is consumed: `python -m benchmarks.fill SITE COUNT [KEYS]`, the site as JSON."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import islice

from adapters.message_json import request_of
from benchmarks.site import KEYS, Site
from containers import Container
from domain.message import Message

_AT_ONCE = 2_000


def notification(number: int, key: str, topic: str) -> Message:
    """The fields of an ordinary notification."""
    return Message(
        request_id=f"r-{number}",
        topic_name=topic,
        message_body=f"Your payment of {number % 900}.00 EUR to Example Stores arrived. Thank you.",
        transaction_id=f"T-{number:010}",
        customer_id=f"C-{key}",
        email=f"{key}@example.com",
        phone=f"+1202555{number % 10_000:04}",
        key=key,
    )


async def fill(container: Container, topic: str, count: int, keys: int = KEYS) -> None:
    """Makes the topic and writes so many notifications. So many keys recur; 0: they have none."""
    async with container.topic_catalog():
        await container.apply_topics()()
    everything = _all(topic, count, keys)
    async with container.publisher() as publisher:
        while await publisher.unready():  # noqa: ASYNC110 - the port has no event for it
            await asyncio.sleep(0.05)
        while some := [request_of(message) for message in islice(everything, _AT_ONCE)]:
            await container.produce().many(some)


def _all(topic: str, count: int, keys: int) -> Iterator[Message]:
    made = (notification(number, f"customer-{number % (keys or KEYS)}", topic) for number in range(count))
    return made if keys else (message._replace(key=None) for message in made)


if __name__ == "__main__":
    site = Site(**json.loads(sys.argv[1]))
    began = time.perf_counter()
    asyncio.run(fill(site.container(), site.topic, *map(int, sys.argv[2:])))
    print(json.dumps({"seconds": time.perf_counter() - began}))
