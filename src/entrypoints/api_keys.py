"""Who may call: keys, known by their SHA-256 only, each for some topics or all."""

import hmac
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from domain.errors import HeraldError

_log = logging.getLogger("herald.api")

_CHECK_SECONDS = 1.0
_FIELDS = 3
_PREFIX = 2
_is_sha256 = re.compile(r"[0-9a-fA-F]{64}\Z").match


@dataclass(frozen=True, slots=True)
class Grant:
    """What a caller may do. `topics` None: everything. `name`: the key's; without keys it is empty."""

    topics: frozenset[str] | None = None
    name: str = field(default="", compare=False)

    def allows(self, topic: str) -> bool:
        return self.topics is None or topic in self.topics


class Keys(Protocol):
    """Asked for each request."""

    def grant(self, authorization: bytes | None) -> Grant | None:
        """What the bearer of this `Authorization` header may do; None: nothing."""


class NoKeys:
    """No keys are configured: everybody may do everything."""

    _everything = Grant()

    def grant(self, authorization: bytes | None) -> Grant | None:  # noqa: ARG002 - the port's signature
        return self._everything


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One line of a keys file."""

    name: str
    digest: bytes
    grant: Grant


class KeyRing:
    """Keys that do not change."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._by_prefix: dict[bytes, list[ApiKey]] = {}
        for key in keys:
            self._by_prefix.setdefault(key.digest[:_PREFIX], []).append(key)

    def grant(self, authorization: bytes | None) -> Grant | None:
        scheme, _, presented = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        digest = sha256(presented.strip()).digest()
        for key in self._by_prefix.get(digest[:_PREFIX], ()):
            if hmac.compare_digest(key.digest, digest):
                return key.grant
        return None


class KeysFile:
    """Keys from a file, read again when it changes; a new version with mistakes leaves the old one in force.

    Raises `HeraldError` at construction when the file cannot be read or has mistakes: all of them are named.
    `monotonic`: seconds; the file is looked at once a second at the most.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._next_look = monotonic() + _CHECK_SECONDS
        self._version = _version(path)
        self._ring = KeyRing(read_keys(path))

    def grant(self, authorization: bytes | None) -> Grant | None:
        if (now := self._monotonic()) >= self._next_look:
            self._next_look = now + _CHECK_SECONDS
            self._look()
        return self._ring.grant(authorization)

    def _look(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        # Taken before the reading: a file replaced in between is seen as another version next time.
        self._version = version
        try:
            self._ring = KeyRing(read_keys(self._path))
        except HeraldError as error:
            _log.error(
                "The keys file is not taken; the keys read before stay in force",
                extra={"action": "keys_file_refused", "error": str(error)},
            )
        else:
            _log.info("The keys file was read again", extra={"action": "keys_file_read"})


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat, on the way of a request
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file. Raises `HeraldError` when it cannot be read, has no key, or has mistakes."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise HeraldError(f"the keys file {path} cannot be read: {reason}") from None
    return parse_keys(text, f"the keys file {path}")


def keys_given(text: str) -> tuple[ApiKey, ...]:
    """The keys of `api.keys`: the lines of a keys file, parted by `;` or line breaks."""
    return parse_keys(text.replace(";", "\n"), "api.keys")


def parse_keys(text: str, source: str) -> tuple[ApiKey, ...]:
    """A line each, parted by blanks: name, SHA-256 of the key in hex, topics (comma-separated, or `*`).

    `#` begins a comment. `source`: what an error calls it. Raises `HeraldError` with every mistake and its
    line's number, but never with what stands there: it may be a key put in the wrong place.
    """
    lines = [(number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, fields) for number, fields in lines if fields]
    mistakes = [f"line {number}: {what}" for number, what in _mistakes(lines)]
    if not lines:
        mistakes.append("it has no key, so nobody could call")
    if mistakes:
        raise HeraldError(f"{source} has mistakes: {'; '.join(mistakes)}")
    return tuple(_key(fields) for _, fields in lines)


def _key(fields: list[str]) -> ApiKey:
    name, digest, topics = fields
    grant = Grant(None if topics == "*" else frozenset(topics.split(",")), name)
    return ApiKey(name, bytes.fromhex(digest), grant)


def _mistakes(lines: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, str]]:
    names: dict[str, int] = {}
    digests: dict[str, int] = {}
    for number, fields in lines:
        if len(fields) != _FIELDS:
            yield number, f"has {len(fields)} fields; name, SHA-256 and topics (without blanks) are needed"
            continue
        name, digest, topics = fields
        if not _is_sha256(digest):
            yield number, "the second field is not the SHA-256 of a key (64 hex digits)"
        if not all(topics.split(",")) or ("*" in topics and topics != "*"):
            yield number, "the topics are neither * nor names parted by commas"
        if (first := names.setdefault(name, number)) != number:
            yield number, f"has the name of line {first}"
        if (first := digests.setdefault(digest.lower(), number)) != number:
            yield number, f"has the key of line {first}"
