"""What is sent in every section: the fields of an ordinary notification, under many keys."""

import json
from collections.abc import Iterator
from itertools import count, islice

from domain.message import Message

KEYS = 5_000
BATCH = 500
TOPIC = "transactions"


def _fields(number: int) -> dict[str, str]:
    return {
        "topic_name": TOPIC,
        "message_body": f"Your payment of {number % 900}.00 EUR to Example Stores arrived. Thank you.",
        "transaction_id": f"T-{number:010}",
        "customer_id": f"C-{number % KEYS:06}",
        "email": f"customer-{number % KEYS}@example.com",
        "phone": f"+1202555{number % 10_000:04}",
        "key": f"customer-{number % KEYS}",
    }


def bodies() -> Iterator[bytes]:
    """JSON objects as a client sends them; Herald makes the ids."""
    return (json.dumps(_fields(number)).encode() for number in count())


def batches() -> Iterator[bytes]:
    """NDJSON of `BATCH` messages each."""
    lines = bodies()
    while True:
        yield b"\n".join(islice(lines, BATCH))


def messages(number: int) -> list[Message]:
    return [Message(request_id=f"r-{n}", **_fields(n)) for n in range(number)]
