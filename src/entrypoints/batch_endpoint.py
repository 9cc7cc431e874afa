"""POST /api/v1/produce/batch: many messages in, one result for each out, in the order given."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from adapters.message_json import DECODE_ERRORS, RequestDecoder, WrongFields, what_is_wrong
from application.produce import Accepted, NotConfirmed, Produced, ProduceMessage, record_headers
from domain.message import ProduceRequest
from domain.ports import Clock
from entrypoints.api_keys import Grant
from entrypoints.endpoint import Call, too_large
from entrypoints.problems import JSON, RETRY_AFTER_SECONDS, Answer, Problem, ProblemKind, answer
from entrypoints.produce_endpoint import (
    FORBIDDEN,
    AcceptedObject,
    accepted_object,
    produced_problem,
    refused_problem,
)

NDJSON = b"application/x-ndjson"
SLICE = 250
VALUES_PER_MESSAGE = 100
# Looked at field by field an item takes ten times its bytes; a message at its limits has 140 KB, all escapes.
ITEM_BYTES = 262_144

_lines = re.compile(rb"[^ \t\r\n][^\n]*").finditer


class _AnyObject(msgspec.Struct, gc=False):
    """An item looked at only as far as to count it: 16 bytes, whatever it holds."""


class FailedObject(msgspec.Struct, gc=False):
    """The JSON of a message that the log does not have, or may not have."""

    request_id: str | None
    error: dict[str, Any]


class BatchObject(msgspec.Struct, gc=False):
    """The JSON of the whole answer."""

    accepted: int
    rejected: int
    results: list[AcceptedObject | FailedObject]


_count_objects = msgspec.json.Decoder(list[_AnyObject]).decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

Item = bytes | msgspec.Raw
Draft = ProduceRequest | FailedObject


class ProduceBatch:
    """Decodes each item on its own, publishes those that are messages in one call, answers for all.

    A long batch is decoded in slices, and other requests get their turn in between.
    """

    def __init__(
        self, decode: RequestDecoder, produce: ProduceMessage, clock: Clock, max_messages: int
    ) -> None:
        self._decode = decode
        self._produce = produce
        self._clock = clock
        self._max_messages = max_messages
        self._too_many = too_large(f"At most {max_messages} messages are taken at once.")

    async def __call__(self, call: Call) -> Answer:
        items = self._items(call)
        if isinstance(items, Answer):
            return items
        drafts: list[Draft] = []
        for start in range(0, len(items), SLICE):
            if start:
                await self._clock.sleep(0)
            drafts += self._drafts([bytes(item) for item in items[start : start + SLICE]], call.grant)
        requests = [draft for draft in drafts if isinstance(draft, ProduceRequest)]
        headers = record_headers(call.traceparent)
        del items, call  # the body twice over, while the log is waited for
        produced = await self._produce.many(requests, headers)
        return _answer(drafts, produced)

    def _items(self, call: Call) -> Sequence[Item] | Answer:
        if call.media_type == NDJSON:
            items: list[Item] = [match.group() for match in islice(_lines(call.body), self._max_messages + 1)]
        else:
            split = self._split(call.body)
            if isinstance(split, Answer):
                return split
            items = split
        if len(items) > self._max_messages:
            return self._too_many
        return items or _not_a_batch("The batch has no message.")

    def _split(self, body: bytes) -> list[Item] | Answer:
        """The items of a JSON array, counted before they are taken apart, which costs 70 bytes each."""
        try:
            return list(_split(body)) if _least_items(body) <= self._max_messages else self._too_many
        except msgspec.ValidationError:
            return _not_a_batch("The body is not an array of messages.")
        except DECODE_ERRORS as error:
            return Problem(ProblemKind.NOT_JSON, f"Not a JSON text: {what_is_wrong(body, error)}.").answer()

    def _drafts(self, items: Sequence[bytes], grant: Grant) -> Iterable[Draft]:
        """Where all are right they are decoded together."""
        if sum(map(len, items)) <= ITEM_BYTES and (requests := self._decode.many(items)):
            return [self._allowed(request, grant) for request in requests]
        return [self._draft(item, grant) for item in items]

    def _draft(self, item: bytes, grant: Grant) -> Draft:
        if len(item) > ITEM_BYTES:
            return _LARGE_ITEM
        request = self._decode(item)
        if isinstance(request, ProduceRequest):
            return self._allowed(request, grant)
        own_id = request.request_id if isinstance(request, WrongFields) else None
        return FailedObject(own_id, refused_problem(request, grant, self._produce).as_object())

    @staticmethod
    def _allowed(request: ProduceRequest, grant: Grant) -> Draft:
        if not grant.allows(request.topic_name):
            return FailedObject(_own_id(request), FORBIDDEN.as_object())
        return request


def _least_items(body: bytes) -> int:
    """How many items are in it at the least; of anything but an array of objects only a rough bound."""
    try:
        return len(_count_objects(body))
    except msgspec.ValidationError:
        return body.count(b",") // VALUES_PER_MESSAGE


def _not_a_batch(detail: str) -> Answer:
    return Problem(ProblemKind.INVALID_MESSAGE, detail).answer()


def _own_id(request: ProduceRequest) -> str | None:
    return request.request_id if request.has_own_id else None


def _answer(drafts: Sequence[Draft], produced: Sequence[Produced]) -> Answer:
    results = list(_results(drafts, produced))
    accepted = sum(isinstance(result, AcceptedObject) for result in results)
    body = _encode(BatchObject(accepted, len(results) - accepted, results))
    if accepted:
        return answer(202 if accepted == len(results) else 207, JSON, body)
    if any(isinstance(one, NotConfirmed) for one in produced):
        return answer(503, JSON, body, ((b"retry-after", b"%d" % RETRY_AFTER_SECONDS),))
    return answer(400, JSON, body)


def _results(
    drafts: Sequence[Draft], produced: Sequence[Produced]
) -> Iterator[AcceptedObject | FailedObject]:
    became = iter(produced)
    for draft in drafts:
        yield _result(draft, next(became)) if isinstance(draft, ProduceRequest) else draft


def _result(request: ProduceRequest, produced: Produced) -> AcceptedObject | FailedObject:
    if isinstance(produced, Accepted):
        return accepted_object(produced)
    # Where the message may be in the log its id is told, also one that Herald made.
    known = produced.request_id if isinstance(produced, NotConfirmed) else _own_id(request)
    return FailedObject(known, produced_problem(produced).as_object())


_LARGE_ITEM = FailedObject(
    None, Problem(ProblemKind.BODY_TOO_LARGE, f"A message takes at most {ITEM_BYTES} bytes.").as_object()
)
