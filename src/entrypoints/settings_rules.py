"""What a setting's value must look like.

The functions are pydantic validators: they answer the value or raise `ValueError`,
whose text goes on after the setting's name ("api.host must be …").
"""

import re
from string import Formatter
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from domain.channels import GROUPS
from domain.topic import dead_letter_topic

Items = TypeVar("Items")

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HOST = re.compile(r"[A-Za-z0-9_.:%-]+")
_SERVER = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%]+\]):([0-9]{1,5})")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_MAILBOX = re.compile(r"[^<>]*<([^<>]+)>")
_TEXT_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 ]{0,10}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]+")
# Kafka allows 249 characters; the longest name of Herald's own is that of a group's dead letters.
TOPIC_LIMIT = 249 - len(dead_letter_topic("", max(GROUPS, key=len)))
_LARGEST_PORT = 65535


def line(value: str) -> str:
    if _CONTROLS.search(value):
        raise ValueError("must not contain control characters")
    return value


def secret(value: SecretStr) -> SecretStr:
    line(value.get_secret_value())
    return value


def lines(value: SecretStr) -> SecretStr:
    for one in value.get_secret_value().splitlines():
        line(one)
    return value


def in_capitals(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("must be a host name or an IP address")
    return value


def servers(value: str) -> str:
    for server in value.split(","):
        match = _SERVER.fullmatch(server.strip())
        if match is None or not 0 < int(match[1]) <= _LARGEST_PORT:
            raise ValueError("must be host:port, or several with commas between them")
    return value


def file_path(value: str) -> str:
    if not line(value) or value.endswith("/"):
        raise ValueError("must be the path of a file")
    return value


def http_url(value: str) -> str:
    try:
        url = urlsplit(line(value))
        is_right = (
            url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and " " not in value
        )
    except ValueError:
        is_right = False
    if not is_right or "@" in value or "?" in value or "#" in value:
        raise ValueError("must be a URL such as https://api.example.com, without user, query and fragment")
    return value


def account(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]+", value):
        raise ValueError("must be letters and digits")
    return value


def mail_sender(value: str) -> str:
    match = _MAILBOX.fullmatch(line(value))
    address = match[1] if match else value
    if not _ADDRESS.fullmatch(address):
        raise ValueError("must be an address such as no-reply@example.com, or Name <no-reply@example.com>")
    return value


def text_sender(value: str) -> str:
    if not _TEXT_SENDER.fullmatch(value):
        raise ValueError(
            "must be a number such as +15005550006, a short code or a name of up to 11 letters and digits"
        )
    return value


def log_file(value: str) -> str:
    line(value)
    try:
        names = {name for _, name, *_ in Formatter().parse(value) if name is not None}
    except ValueError:
        names = {"?"}
    if names - {"process"} or value.endswith("/"):
        raise ValueError("must be the path of a file, in which only {process} is filled in, or empty")
    return value


def topic_name(value: str) -> str:
    if not _TOPIC.fullmatch(value) or value in {".", ".."} or len(value) > TOPIC_LIMIT:
        raise ValueError(f"must be 1 to {TOPIC_LIMIT} of A-Z a-z 0-9 . _ - and not . or ..")
    if value.startswith("__"):
        raise ValueError("must not begin with __: such topics are Kafka's own")
    return value


def group(value: str) -> str:
    if value not in GROUPS:
        raise ValueError(f"must be {' or '.join(map(repr, GROUPS))}")
    return value


def groups(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) < len(value):
        raise ValueError(f"must name one or more of {', '.join(GROUPS)}, each once")
    return value


def some(value: tuple[Items, ...]) -> tuple[Items, ...]:
    if not value:
        raise ValueError("must name at least one topic")
    return value
