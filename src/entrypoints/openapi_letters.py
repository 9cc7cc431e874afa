"""The paths of dead letters in the OpenAPI document, and the schemas of what they take and answer."""

from collections.abc import Sequence
from typing import Any

from domain.dead_letter import LETTER_ID, PLACE
from domain.outcome import DeadLetterReason
from entrypoints.dead_letters_page import USUAL_LIMIT
from entrypoints.letter_query import HIGHEST_LIMIT
from entrypoints.openapi_parts import answer, ecma, object_of, parameter, problems, ref
from entrypoints.problems import ProblemKind
from entrypoints.replay_endpoint import FILTERS, MOST_IDS

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_TEXT_OR_NULL: Json = {"type": ["string", "null"]}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TIME: Json = {"type": "string", "format": "date-time"}
_PATH = "/api/v1/dead-letters"
_READ = (
    ProblemKind.INVALID_QUERY,
    ProblemKind.UNAUTHORIZED,
    ProblemKind.FORBIDDEN,
    ProblemKind.UNKNOWN_TOPIC,
    ProblemKind.LOG_UNAVAILABLE,
)
_REPLAY = (
    ProblemKind.NOT_JSON,
    ProblemKind.INVALID_BODY,
    ProblemKind.UNAUTHORIZED,
    ProblemKind.FOREIGN_ORIGIN,
    ProblemKind.FORBIDDEN,
    ProblemKind.UNKNOWN_TOPIC,
    ProblemKind.BODY_TOO_SLOW,
    ProblemKind.BODY_TOO_LARGE,
    ProblemKind.UNSUPPORTED_MEDIA_TYPE,
    ProblemKind.INTERNAL_ERROR,
    ProblemKind.LOG_UNAVAILABLE,
    ProblemKind.OVERLOADED,
)


def letters_paths(topics: Sequence[str], *, keyed: bool) -> Json:
    return {
        _PATH: {"get": _list(topics, keyed=keyed)},
        f"{_PATH}/summary": {"get": _summary(topics, keyed=keyed)},
        f"{_PATH}/replay": {"post": _replay(keyed=keyed)},
        f"{_PATH}/{{letter_id}}": {"get": _letter(keyed=keyed)},
    }


def letters_schemas(topics: Sequence[str]) -> Json:
    """By name."""
    letters = {"type": "array", "items": ref("DeadLetter")}
    following = {
        **_TEXT_OR_NULL,
        "description": "To be given as `after` for more; null: there are no more now.",
    }
    return {
        "DeadLetters": object_of({"dead_letters": letters, "next": following}),
        "DeadLetter": object_of(_letter_fields()),
        "WholeDeadLetter": _whole_letter(),
        "DeadLetterReason": {"type": "string", "enum": [reason.value for reason in DeadLetterReason]},
        "DeadLetterSummary": _counts(),
        "Replay": _choice(topics),
        "Replayed": _replayed(),
    }


# Paths ----------------------------------------------------------------------------------------


def _list(topics: Sequence[str], *, keyed: bool) -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": HIGHEST_LIMIT, "default": USUAL_LIMIT}
    replayed = {
        "type": "boolean",
        "description": "Only those that were sent again, or only those that were not.",
    }
    place = {"type": "string", "pattern": ecma(PLACE), "description": "The `next` of an earlier answer."}
    return {
        "operationId": "listDeadLetters",
        "summary": "What could not be delivered, oldest failure first",
        "description": "Of topics that the key is for. Neither addresses nor bodies are shown.",
        "parameters": [
            *_filters(topics),
            parameter("reason", ref("DeadLetterReason")),
            parameter("replayed", replayed),
            parameter("limit", limit),
            parameter("after", place),
        ],
        "responses": {
            "200": answer("Those that match", ref("DeadLetters")),
            **problems(_READ, keyed=keyed),
        },
    }


def _summary(topics: Sequence[str], *, keyed: bool) -> Json:
    return {
        "operationId": "countDeadLetters",
        "summary": "How many dead letters wait, by group, topic and reason",
        "description": "It may be some seconds old. What was sent again is not counted.",
        "parameters": _filters(topics),
        "responses": {
            "200": answer("The counts", ref("DeadLetterSummary")),
            **problems(_READ, keyed=keyed),
        },
    }


def _letter(*, keyed: bool) -> Json:
    kinds = [ProblemKind.UNAUTHORIZED, ProblemKind.NOT_FOUND, ProblemKind.LOG_UNAVAILABLE]
    letter_id = {"name": "letter_id", "in": "path", "required": True, "schema": _letter_id()}
    return {
        "operationId": "readDeadLetter",
        "summary": "Everything about one dead letter",
        "description": "Its address and its body, too.",
        "parameters": [letter_id],
        "responses": {
            "200": answer("The letter", ref("WholeDeadLetter")),
            **problems(kinds, keyed=keyed),
        },
    }


def _replay(*, keyed: bool) -> Json:
    return {
        "operationId": "replayDeadLetters",
        "summary": "Send dead letters again",
        "description": (
            "Each goes back to the group that could not deliver it. One call does a part; call again with "
            "the `until` of the answer while `remaining` is above 0 and `trouble` is empty."
        ),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ref("Replay"), "example": {"group": "email"}}},
        },
        "responses": {
            "200": answer("What this call did", ref("Replayed")),
            **problems(_REPLAY, keyed=keyed),
        },
    }


def _filters(topics: Sequence[str]) -> list[Json]:
    topic = {"type": "string", "enum": list(topics)}
    return [parameter("group", _TEXT), parameter("topic", topic)]


# Schemas --------------------------------------------------------------------------------------


def _letter_id() -> Json:
    return {"type": "string", "pattern": ecma(LETTER_ID), "examples": ["transactions.email-3-42"]}


def _letter_fields() -> Json:
    return {
        "id": {"type": "string", "examples": ["transactions.email-3-42"]},
        "group": _TEXT,
        "topic": _TEXT,
        "partition": _COUNT,
        "offset": _COUNT,
        "request_id": {"type": "string", "examples": ["018f6f2e-7b1c-7d3a-9c55-2f6f0a6f1c11"]},
        "key": {**_TEXT_OR_NULL, "description": "An address in it is hidden."},
        "reason": ref("DeadLetterReason"),
        "error": _TEXT,
        "attempts": _COUNT,
        "failed_at": _TIME,
        "replays": {**_COUNT, "description": "How often its message was sent again."},
    }


def _whole_letter() -> Json:
    header = object_of({"name": _TEXT, "value": _TEXT, "value_base64": _TEXT}, ("value", "value_base64"))
    fields = {
        **_letter_fields(),
        "key": {**_TEXT_OR_NULL, "description": "Whole."},
        "key_base64": {**_TEXT, "description": "Where the key is not UTF-8; key is shown as far as it is."},
        "parked": {"type": "boolean", "description": "It was sent again and died too often."},
        "replayed_at": {**_TEXT_OR_NULL, "format": "date-time"},
        "replayed_by": _TEXT_OR_NULL,
        "headers": {"type": "array", "items": header},
        "value": {**_TEXT_OR_NULL, "description": "The message as it was taken."},
        "value_base64": {**_TEXT, "description": "In its place where it is not UTF-8."},
    }
    return object_of(fields, ("key_base64", "value", "value_base64"))


def _counts() -> Json:
    count = {"group": _TEXT, "topic": _TEXT, "reason": ref("DeadLetterReason")}
    parked = {**_COUNT, "description": "Sent again and died too often to be sent again."}
    waiting = {**_COUNT, "description": "Not sent again, and not parked."}
    return object_of(
        {
            "dead_letters": {
                "type": "array",
                "items": object_of({**count, "count": waiting, "parked": parked}),
            },
            "total": waiting,
            "parked": parked,
        }
    )


def _choice(topics: Sequence[str]) -> Json:
    """One way of choosing, so that none can come to mean all by being empty."""
    ways: list[Json] = [
        {"required": ["ids"], **_without("all", *FILTERS)},
        {"required": ["all"], **_without("ids", *FILTERS)},
        {"anyOf": [{"required": [name]} for name in FILTERS], **_without("ids", "all")},
    ]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "ids": {"type": "array", "minItems": 1, "maxItems": MOST_IDS, "items": _TEXT},
            "group": {"type": "string", "minLength": 1},
            "topic": {"type": "string", "enum": list(topics)},
            "reason": ref("DeadLetterReason"),
            "all": {"type": "boolean", "enum": [True]},
            "until": {**_TIME, "description": "Only what failed before; now, without it. Not for ids."},
            "dry_run": {"type": "boolean", "description": "Only say how many it would be."},
        },
        "oneOf": ways,
    }


def _without(*names: str) -> Json:
    return {"not": {"anyOf": [{"required": [name]} for name in names]}}


def _replayed() -> Json:
    return object_of(
        {
            "replayed": {**_COUNT, "description": "Sent again by this call; in a dry run: would be."},
            "already": {**_COUNT, "description": "Had been sent again before."},
            "parked": _COUNT,
            "failed": {**_COUNT, "description": "The log did not take them; see trouble."},
            "unknown": {"type": "array", "items": _TEXT, "description": "Ids that no letter has."},
            "remaining": {**_COUNT, "description": "Of the choice, not reached by this call."},
            "trouble": {**_TEXT, "description": "Why not all went well, or empty."},
            "until": {**_TIME, "description": "To be given with the next call for the same choice."},
        }
    )
