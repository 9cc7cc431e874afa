"""What every produce request goes through: key, media type, size, count, and a net for our own faults."""

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from application.counts import ProduceCounts
from application.deadline import within
from domain.ports import Clock
from entrypoints.api_keys import Grant, Keys
from entrypoints.body_room import Body, BodyRoom, NoRoom
from entrypoints.plain_http import BodyTooLarge, ClientGone, Receive
from entrypoints.problems import INTERNAL_ERROR, UNAUTHORIZED, Answer, Problem, ProblemKind, RawHeaders

_log = logging.getLogger("herald.api")

_LONGEST_LENGTH = 18  # digits; a longer number is beyond every limit
BODY_SECONDS = 60.0  # a body that takes longer to come only holds room


class BodyTooSlow(Exception):
    """A request's body did not come within `BODY_SECONDS`."""


class Call(NamedTuple):
    """A request that may be answered: its whole body, who sent it, and what its headers say."""

    body: bytes
    grant: Grant
    media_type: bytes
    traceparent: str


class AnswersPosts(Protocol):
    """What stands behind one path of POST."""

    async def answer(self, headers: RawHeaders, receive: Receive) -> Answer:
        """Status, headers and body for a request; never raises for what a client or the log does."""


class Endpoint:
    """One POST path. Both the hot path and the Litestar route ask `answer`, and send what it gives.

    The key is looked at before the body is read, so that a stranger's body takes no memory. `room` is
    shared by all endpoints: where it is taken, a request is refused before anything of it is written.
    """

    def __init__(
        self,
        *,
        respond: Callable[[Call], Awaitable[Answer]],
        media_types: frozenset[bytes],
        max_bytes: int,
        room: BodyRoom,
        keys: Keys,
        counts: ProduceCounts,
        clock: Clock,
    ) -> None:
        self._respond = respond
        self._media_types = media_types
        self._max_bytes = max_bytes
        self._room = room
        self._keys = keys
        self._counts = counts
        self._clock = clock
        self._too_large = too_large(f"At most {max_bytes} bytes are taken.")
        self._unsupported = _unsupported(media_types)
        self._no_room = _no_room(room.most_bytes)

    async def answer(self, headers: RawHeaders, receive: Receive) -> Answer:
        """Status, headers and body for a request; never raises for what a client or the log does."""
        started = self._clock.monotonic()
        try:
            answer = await self._answer(headers, receive)
        except BodyTooLarge:
            answer = self._too_large
        except NoRoom:
            answer = self._no_room
        except BodyTooSlow:
            answer = _TOO_SLOW
        except ClientGone:
            answer = _HUNG_UP
        except Exception:  # noqa: BLE001 - whatever it is, the client gets a problem and the log file the rest
            _log.exception("A produce request failed", extra={"action": "produce_failed"})
            answer = INTERNAL_ERROR.answer()
        self._counts.requests[answer.status] += 1
        self._counts.duration.observe(self._clock.monotonic() - started)
        return answer

    async def _answer(self, headers: RawHeaders, receive: Receive) -> Answer:
        given = dict(headers)
        grant = self._keys.grant(given.get(b"authorization"))
        if grant is None:
            return UNAUTHORIZED
        media_type = _media_type(given.get(b"content-type", b""))
        if media_type not in self._media_types or _is_encoded(given.get(b"content-encoding")):
            return self._unsupported
        if _exceeds(given.get(b"content-length"), self._max_bytes):
            return self._too_large
        traceparent = given.get(b"traceparent", b"").decode("latin-1")
        body = Body(self._room, self._max_bytes)
        try:
            if body.take(await receive()):  # of most bodies there is no more: it came with the head
                await self._take_rest(body, receive)
            return await self._respond(Call(body.whole(), grant, media_type, traceparent))
        finally:
            self._room.leave(body.size)

    async def _take_rest(self, body: Body, receive: Receive) -> None:
        if not await within(self._clock, BODY_SECONDS, body.take_rest(receive)):
            raise BodyTooSlow


def too_large(detail: str) -> Answer:
    return Problem(ProblemKind.BODY_TOO_LARGE, detail).answer()


def _no_room(most_bytes: int) -> Answer:
    detail = f"Bodies of {most_bytes} bytes wait already; nothing of this request was written. Send it again."
    return Problem(ProblemKind.OVERLOADED, detail).answer()


def _unsupported(media_types: frozenset[bytes]) -> Answer:
    names = " or ".join(sorted(name.decode() for name in media_types))
    detail = f"Send 'Content-Type: {names}', and no Content-Encoding."
    return Problem(ProblemKind.UNSUPPORTED_MEDIA_TYPE, detail).answer()


def _media_type(content_type: bytes) -> bytes:
    """Without its parameters: JSON is UTF-8 whatever a `charset` says (RFC 8259, 11)."""
    if content_type == b"application/json":
        return content_type
    return content_type.partition(b";")[0].strip().lower()


def _is_encoded(content_encoding: bytes | None) -> bool:
    return content_encoding is not None and content_encoding.strip().lower() not in {b"", b"identity"}


def _exceeds(content_length: bytes | None, limit: int) -> bool:
    """What is no number is left to the counting of the bytes."""
    if content_length is None or not content_length.isdigit():
        return False
    return len(content_length) > _LONGEST_LENGTH or int(content_length) > limit


# Nobody reads it, but the request is counted like any other.
_HUNG_UP = Problem(ProblemKind.NOT_JSON, "The client hung up before its whole body had come.").answer()
# What may still come of the body is not waited for.
_TOO_SLOW = Problem(
    ProblemKind.BODY_TOO_SLOW, f"The whole body must come within {BODY_SECONDS:g} seconds."
).answer((b"connection", b"close"))
