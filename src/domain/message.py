"""What a message is, and the rule of each of its fields.

These rules are the authority. The fast decoder of an adapter may take a shortcut only where it
answers the same.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote

BODY_LIMIT = 10_000
TEXT_LIMIT = 256
EMAIL_LIMIT = 254
REQUEST_ID = r"^[A-Za-z0-9._:-]{1,128}\Z"
PHONE = r"^\+[1-9][0-9]{6,14}\Z"
# ASCII only: a dot-atom (RFC 5321, 4.1.2) and two or more labels of a host name (RFC 1123, 2.1).
# Everything else is settled by the slower rule for international addresses.
PLAIN_EMAIL = (
    r"^(?=.{3,254}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z"
)
# C0, DEL and C1. Unicode's other separators are harmless in a header: they are encoded there.
NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*\Z"
NO_CONTROLS_BUT_LINES = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*\Z"

_RFC3339 = re.compile(
    r"^(\d{4}-\d\d-\d\d)[Tt]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)(?:\.(\d+))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))\Z",
    re.ASCII,
)
_SHOWN_NAME = 64
_SHOWN_UNKNOWN = 100


class Message(NamedTuple):
    """One notification, as the log keeps it. Absent fields are None; times are RFC 3339 texts.

    A tuple, because one is made for each request and for each record: a frozen dataclass takes twice as long.
    """

    request_id: str
    topic_name: str
    message_body: str | None = None
    transaction_id: str | None = None
    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None
    key: str | None = None
    expires_at: str | None = None


class ProduceRequest(NamedTuple):
    """A message on its way into the log: what decides its place there, and `value`, which the log keeps.

    `partition`: chosen by the client. `has_own_id`: the client gave its `request_id`.
    """

    request_id: str
    topic_name: str
    key: str | None
    partition: int | None
    value: bytes
    has_own_id: bool


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: a JSON pointer in URI fragment form (RFC 6901, 6) and what is wrong with it."""

    pointer: str
    detail: str


AddressFault = Callable[[str], str | None]
"""What is wrong with a mail address, or None. Asked for addresses that `PLAIN_EMAIL` does not settle."""

Fault = Callable[[object], str | None]


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time, or None if it is not one. A leap second counts as the second before it."""
    match = _RFC3339.match(text)
    if match is None:
        return None
    date, minutes, seconds, fraction, sign, hours_off, minutes_off = match.groups()
    offset = timedelta(hours=int(hours_off or 0), minutes=int(minutes_off or 0))
    zone = timezone(-offset if sign == "-" else offset) if sign else UTC
    seconds = "59" if seconds == "60" else seconds
    try:
        time = datetime.fromisoformat(f"{date}T{minutes}:{seconds}.{(fraction or '0')[:6]:0<6}")
    except ValueError:
        return None
    return time.replace(tzinfo=zone)


def pointer_to(name: str) -> str:
    """The JSON pointer of a top-level field, shortened where a client sent a monstrous name."""
    escaped = name[:_SHOWN_NAME].replace("~", "~0").replace("/", "~1")
    return "#/" + quote(escaped.encode("utf-8", "replace"), safe="~")


def is_absent(value: object) -> bool:
    """Optional fields given as `""` or null count as absent: Go clients send all of them."""
    return value is None or value == ""


def wrong_fields(fields: Mapping[str, object], address_fault: AddressFault) -> list[FieldError]:
    """Every wrong field of a request: unknown ones, then those of the contract's table in its order.

    Of very many unknown fields the first hundred are named, so that an answer stays near its request's
    size. Whether the topic exists and has the partition is not looked at: that takes the settings.
    """
    rules = _rules(address_fault)
    errors = list(_unknown_fields(fields, rules))
    errors += _broken_rules(fields, rules)
    if is_absent(fields.get("topic_name")):
        errors.append(FieldError("#/topic_name", "is required"))
    if is_absent(fields.get("email")) and is_absent(fields.get("phone")):
        errors.append(FieldError("#", "at least one of email and phone is required"))
    return errors


def field_fault(name: str, value: object, address_fault: AddressFault) -> str | None:
    """What is wrong with one field of the table, or None; absent ones are right."""
    return None if is_absent(value) else _rules(address_fault)[name](value)


def _unknown_fields(fields: Mapping[str, object], rules: Mapping[str, Fault]) -> Iterator[FieldError]:
    unknown = [name for name in fields if name not in rules]
    for name in islice(unknown, _SHOWN_UNKNOWN):
        yield FieldError(pointer_to(name), "is not a known field")
    if len(unknown) > _SHOWN_UNKNOWN:
        yield FieldError("#", f"has {len(unknown) - _SHOWN_UNKNOWN} more unknown fields")


def _broken_rules(fields: Mapping[str, object], rules: Mapping[str, Fault]) -> Iterator[FieldError]:
    for name, fault in rules.items():
        value = fields.get(name)
        if not is_absent(value) and (detail := fault(value)):
            yield FieldError(pointer_to(name), detail)


@lru_cache(maxsize=4)
def _rules(address_fault: AddressFault) -> dict[str, Fault]:
    return {
        "request_id": _text(REQUEST_ID, "must be 1 to 128 of A-Z a-z 0-9 . _ : -"),
        "topic_name": _text(NO_CONTROLS, "must not contain control characters"),
        "message_body": _text(
            NO_CONTROLS_BUT_LINES,
            "must not contain control characters but newline and tab",
            BODY_LIMIT,
        ),
        "transaction_id": _text(NO_CONTROLS, "must not contain control characters", TEXT_LIMIT),
        "customer_id": _text(NO_CONTROLS, "must not contain control characters", TEXT_LIMIT),
        "email": _email(address_fault),
        "phone": _text(PHONE, "must be + and 7 to 15 digits, the first not 0"),
        "key": _text(NO_CONTROLS, "must not contain control characters", TEXT_LIMIT),
        "partition": _partition_fault,
        "expires_at": _time_fault,
    }


def _text(pattern: str, detail: str, limit: int | None = None) -> Fault:
    matches = re.compile(pattern).match

    def fault(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        if limit is not None and len(value) > limit:
            return f"must have at most {limit} characters"
        if not _is_unicode(value):
            return "must be valid Unicode"
        return None if matches(value) else detail

    return fault


def _is_unicode(value: str) -> bool:
    """A lone surrogate passes some JSON decoders and has no UTF-8 form."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _email(address_fault: AddressFault) -> Fault:
    plain = re.compile(PLAIN_EMAIL).match
    text = _text(NO_CONTROLS, "must not contain control characters", EMAIL_LIMIT)

    def fault(value: object) -> str | None:
        if detail := text(value):
            return detail
        address = str(value)
        return None if plain(address) else address_fault(address)

    return fault


def _partition_fault(value: object) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return "must be an integer"
    return None if value >= 0 else "must not be negative"


def _time_fault(value: object) -> str | None:
    if isinstance(value, str) and parse_time(value):
        return None
    return "must be an RFC 3339 time such as 2030-01-31T12:00:00Z"
