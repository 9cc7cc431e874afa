"""POST /api/v1/produce: one message in, one answer out."""

import msgspec

from adapters.message_json import NotJson, RequestDecoder, WrongFields
from application.produce import (
    Accepted,
    NoSuchPartition,
    NotConfirmed,
    ProduceMessage,
    UnknownTopic,
    record_headers,
)
from domain.message import FieldError, ProduceRequest
from entrypoints.api_keys import Grant
from entrypoints.endpoint import Call
from entrypoints.problems import JSON, Answer, Problem, ProblemKind, answer

_encode = msgspec.json.Encoder().encode

FORBIDDEN = Problem(ProblemKind.FORBIDDEN, "This key may not write to the topic in topic_name.")
UNKNOWN_TOPIC = Problem(
    ProblemKind.UNKNOWN_TOPIC,
    "topic_name is not one of the configured topics; GET /api/v1/topics lists them.",
)


class AcceptedObject(msgspec.Struct, gc=False):
    """The JSON of a message that the log has."""

    request_id: str
    topic_name: str
    partition: int
    offset: int


def accepted_object(accepted: Accepted) -> AcceptedObject:
    return AcceptedObject(accepted.request_id, accepted.topic_name, accepted.partition, accepted.offset)


class ProduceOne:
    """Decodes, asks the use case, and says in HTTP what became of it."""

    def __init__(self, decode: RequestDecoder, produce: ProduceMessage) -> None:
        self._decode = decode
        self._produce = produce

    async def __call__(self, call: Call) -> Answer:
        request = self._decode(call.body)
        if not isinstance(request, ProduceRequest):
            return refused_problem(request, call.grant, self._produce).answer()
        if not call.grant.allows(request.topic_name):
            return FORBIDDEN.answer()
        produced = await self._produce.one(request, record_headers(call.traceparent))
        if isinstance(produced, Accepted):
            location = (b"location", b"/api/v1/messages/" + produced.request_id.encode())
            return answer(202, JSON, _encode(accepted_object(produced)), (location,))
        return produced_problem(produced).answer()


def refused_problem(refused: WrongFields | NotJson, grant: Grant, produce: ProduceMessage) -> Problem:
    """What to say about a body that is not a message; a partition out of range is named among the rest."""
    if isinstance(refused, NotJson):
        return Problem(ProblemKind.NOT_JSON, f"Not a JSON text: {refused.detail}.")
    errors = refused.errors
    if refused.topic_name is not None and grant.allows(refused.topic_name):
        error = produce.partition_error(refused.topic_name, refused.partition)
        errors = (*errors, error) if error else errors
    return _invalid(errors)


def produced_problem(produced: UnknownTopic | NoSuchPartition | NotConfirmed) -> Problem:
    """What to say about a message that the log does not have, or may not have."""
    if isinstance(produced, UnknownTopic):
        return UNKNOWN_TOPIC
    if isinstance(produced, NoSuchPartition):
        return _invalid((produced.error,))
    return Problem(
        ProblemKind.LOG_UNAVAILABLE,
        f"It may be in the log or not ({produced.reason}). Send it again with this request_id, "
        "otherwise unchanged.",
        request_id=produced.request_id,
    )


def _invalid(errors: tuple[FieldError, ...]) -> Problem:
    count = "One mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
    return Problem(ProblemKind.INVALID_MESSAGE, f"{count}; see errors.", errors)
