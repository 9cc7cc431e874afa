"""Errors as problem documents (RFC 9457), and what an HTTP answer is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from domain.message import FieldError

RETRY_AFTER_SECONDS = 1
JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"
TYPE_PREFIX = "urn:herald:problem:"

RawHeaders = Sequence[tuple[bytes, bytes]]

_RETRY_AFTER = (b"retry-after", b"%d" % RETRY_AFTER_SECONDS)


class Answer(NamedTuple):
    """Status, headers in lower case, body: what both ways to serve a request send as it is."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def answer(status: int, content_type: bytes, body: bytes, headers: RawHeaders = ()) -> Answer:
    length = b"%d" % len(body)
    return Answer(status, [(b"content-type", content_type), (b"content-length", length), *headers], body)


class ProblemKind(Enum):
    """Every kind of error: its name in `type`, its HTTP status and its title."""

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    NOT_JSON = "not-json", 400, "The body is not JSON"
    INVALID_MESSAGE = "invalid-message", 400, "The message is not valid"
    INVALID_QUERY = "invalid-query", 400, "The query is not valid"
    INVALID_BODY = "invalid-body", 400, "The body is not valid"
    UNAUTHORIZED = "unauthorized", 401, "A key is needed"
    FORBIDDEN = "forbidden", 403, "The key is not for this topic"
    FOREIGN_ORIGIN = "foreign-origin", 403, "A page of another site asks"
    UNKNOWN_TOPIC = "unknown-topic", 404, "There is no such topic"
    NOT_FOUND = "not-found", 404, "There is nothing here"
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "The method is not allowed here"
    BODY_TOO_SLOW = "body-too-slow", 408, "The body came too slowly"
    BODY_TOO_LARGE = "body-too-large", 413, "The body is too large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", 415, "The media type is not supported"
    HEAD_TOO_LARGE = "head-too-large", 431, "The request's head is too large"
    INTERNAL_ERROR = "internal-error", 500, "Herald failed"
    LOG_UNAVAILABLE = "log-unavailable", 503, "The log did not confirm"
    OVERLOADED = "overloaded", 503, "Too much waits already"


_FOR_NOW = frozenset({ProblemKind.LOG_UNAVAILABLE, ProblemKind.OVERLOADED})


@dataclass(frozen=True, slots=True)
class Problem:
    """One error. `errors`: every wrong field of a message. `request_id`: whose fate is not known."""

    kind: ProblemKind
    detail: str
    errors: tuple[FieldError, ...] = ()
    request_id: str | None = None

    def as_object(self) -> dict[str, Any]:
        """The problem's JSON members."""
        members: dict[str, Any] = {
            "type": TYPE_PREFIX + self.kind.slug,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if self.errors:
            members["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in self.errors]
        if self.request_id is not None:
            members["request_id"] = self.request_id
        return members

    def answer(self, *headers: tuple[bytes, bytes]) -> Answer:
        """The problem as an answer of its own."""
        more = (*headers, _RETRY_AFTER) if self.kind in _FOR_NOW else headers
        return answer(self.kind.status, PROBLEM_JSON, msgspec.json.encode(self.as_object()), more)


UNAUTHORIZED = Problem(ProblemKind.UNAUTHORIZED, "Send a known key as 'Authorization: Bearer KEY'.").answer(
    (b"www-authenticate", b"Bearer")
)
INTERNAL_ERROR = Problem(ProblemKind.INTERNAL_ERROR, "This is a fault of Herald's; its log file tells more.")
