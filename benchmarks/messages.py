"""What is sent in every section: the fields of an ordinary notification, under many keys."""

import json
from collections.abc import Iterator
from itertools import count

from domain.message import Message

KEYS = 5_000
RECURRING_KEYS = 1_000  # of what is sent to servers
BATCH = 500
TOPIC = "transactions"


def _fields(number: int, keys: int = KEYS, topic: str = TOPIC) -> dict[str, str]:
    return {
        "topic_name": topic,
        "message_body": f"Your payment of {number % 900}.00 EUR to Example Stores arrived. Thank you.",
        "transaction_id": f"T-{number:010}",
        "customer_id": f"C-{number % keys:06}",
        "email": f"customer-{number % keys}@example.com",
        "phone": f"+1202555{number % 10_000:04}",
        "key": f"customer-{number % keys}",
    }


def bodies(keys: int = KEYS, topic: str = TOPIC) -> Iterator[bytes]:
    """JSON objects as a client sends them, under so many keys in turn; the server makes the ids."""
    return (json.dumps(_fields(number, keys, topic)).encode() for number in count())


def messages(number: int) -> list[Message]:
    return [Message(request_id=f"r-{n}", **_fields(n)) for n in range(number)]
