"""The channels: each is a consumer group, and a field of a message holds the address that it sends to."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from domain.message import Message

ADDRESS_FIELDS: Mapping[str, str] = MappingProxyType({"email": "email", "sms": "phone"})
"""By group. Two channels may send to the same address."""
GROUPS = tuple(ADDRESS_FIELDS)


def channels_of(message: Message) -> frozenset[str]:
    """Those that the message has an address for."""
    return frozenset(group for group, field in ADDRESS_FIELDS.items() if getattr(message, field))


def reach_every_message(groups: Iterable[str]) -> bool:
    """Whether each message has an address for one of these groups at least: it has one for some channel."""
    return set(ADDRESS_FIELDS.values()) == {ADDRESS_FIELDS[group] for group in groups}
