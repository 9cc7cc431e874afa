"""The JSON schemas of what the API takes and answers. Limits and patterns are the domain's."""

from collections.abc import Sequence
from typing import Any

from domain.message import (
    BODY_LIMIT,
    EMAIL_LIMIT,
    NO_CONTROLS,
    NO_CONTROLS_BUT_LINES,
    PHONE,
    REQUEST_ID,
    TEXT_LIMIT,
)
from domain.status import DeliveryState
from entrypoints.openapi_board import board_schemas
from entrypoints.openapi_letters import letters_schemas
from entrypoints.openapi_parts import ecma, object_of, ref
from entrypoints.openapi_story import message_story, story_step
from entrypoints.problems import TYPE_PREFIX, ProblemKind

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TIME: Json = {"type": "string", "format": "date-time"}
_ID: Json = {"type": "string", "examples": ["018f6f2e-7b1c-7d3a-9c55-2f6f0a6f1c11"]}


def request_id() -> Json:
    """As it stands in a path."""
    return {"type": "string", "pattern": ecma(REQUEST_ID)}


def schemas(topics: Sequence[str]) -> Json:
    """Every schema that `ref` names."""
    return {
        "Message": _message(topics),
        "Accepted": object_of(
            {"request_id": _ID, "topic_name": _TEXT, "partition": _COUNT, "offset": _COUNT}
        ),
        "Failed": _failed(),
        "Batch": _batch(),
        "Topics": object_of({"topics": {"type": "array", "items": ref("Topic")}}),
        "Topic": _topic(),
        "MessageStatus": _message_status(),
        "Delivery": _delivery(),
        "MessageStory": message_story(_message_status()),
        "StoryStep": story_step(),
        "Lags": object_of({"lag": {"type": "array", "items": ref("Lag")}}),
        "Lag": _lag(),
        **letters_schemas(topics),
        **board_schemas(),
        "Health": object_of({"status": {"type": "string", "enum": ["ok"]}}),
        "Problem": _problem(),
        "FieldError": _field_error(),
    }


def _message(topics: Sequence[str]) -> Json:
    return {
        "type": "object",
        "description": 'At least one of email and phone. An optional field given as `""` or null is absent.',
        "additionalProperties": False,
        "required": ["topic_name"],
        "anyOf": [_given("email"), _given("phone")],
        "properties": {
            "request_id": _or_empty(
                REQUEST_ID,
                "A UUID of version 7 is made if absent. The same message again with it is delivered once.",
            ),
            "topic_name": {"type": "string", "enum": list(topics)},
            "message_body": _optional(
                "Without control characters but newline and tab.",
                pattern=ecma(NO_CONTROLS_BUT_LINES),
                maxLength=BODY_LIMIT,
            ),
            "transaction_id": _name("Shown in the mail and the text."),
            "customer_id": _name("Kept with the message."),
            "email": _optional(
                "A mail address (RFC 6531): no quoted part, no address literal, two or more labels.",
                maxLength=EMAIL_LIMIT,
                anyOf=_in_format("idn-email"),
            ),
            "phone": _or_empty(PHONE, "In E.164 form."),
            "key": _name("Messages of one key stay in order."),
            "partition": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "Wins over the key; below the number of the topic's partitions.",
            },
            "expires_at": _optional(
                "RFC 3339; past it the message is not sent.", anyOf=_in_format("date-time")
            ),
        },
    }


def _given(name: str) -> Json:
    return {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}


def _optional(description: str, **rules: Any) -> Json:
    return {"type": ["string", "null"], "description": description, **rules}


def _in_format(name: str) -> list[Json]:
    return [{"format": name}, {"maxLength": 0}]


def _name(description: str) -> Json:
    return _optional(description, pattern=ecma(NO_CONTROLS), maxLength=TEXT_LIMIT)


def _or_empty(pattern: str, description: str) -> Json:
    return _optional(description, pattern=rf"^$|{ecma(pattern)}")


def _failed() -> Json:
    return object_of({"request_id": {"type": ["string", "null"]}, "error": ref("Problem")})


def _batch() -> Json:
    results = {
        "type": "array",
        "description": "One for each message, in the order given.",
        "items": {"anyOf": [ref("Accepted"), ref("Failed")]},
    }
    return object_of({"accepted": _COUNT, "rejected": _COUNT, "results": results})


def _topic() -> Json:
    groups = {"type": "array", "items": _TEXT}
    return object_of({"name": _TEXT, "partitions": _COUNT, "replication_factor": _COUNT, "groups": groups})


def _message_status() -> Json:
    return object_of(
        {
            "request_id": _ID,
            "topic_name": _TEXT,
            "partition": _COUNT,
            "offset": _COUNT,
            "accepted_at": _TIME,
            "as_of": {**_TIME, "description": "What the log had by then is in it."},
            "deliveries": {
                "type": "object",
                "description": "By group.",
                "additionalProperties": ref("Delivery"),
            },
        }
    )


def _delivery() -> Json:
    return object_of(
        {
            "state": {"type": "string", "enum": [state.value for state in DeliveryState]},
            "attempts": {**_COUNT, "description": "Tries that counted, with the one that succeeded."},
            "uncertain_attempts": {**_COUNT, "description": "Tries whose answer was lost."},
            "reason": {"type": ["string", "null"]},
            "updated_at": _TIME,
            "provider_id": {"type": ["string", "null"]},
        }
    )


def _lag() -> Json:
    return object_of(
        {
            "group": _TEXT,
            "topic": _TEXT,
            "partition": _COUNT,
            "end": _COUNT,
            "committed": {"type": ["integer", "null"], "description": "null: the group never committed."},
            "lag": _COUNT,
            "deferred": {**_COUNT, "description": "Put off; the committed position may have passed them."},
            "oldest_unfinished_seconds": {"type": "number", "minimum": 0},
        }
    )


def _problem() -> Json:
    kinds = {"type": "string", "enum": [TYPE_PREFIX + kind.slug for kind in ProblemKind]}
    members = {
        "type": kinds,
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": _TEXT,
        "errors": {"type": "array", "description": "Every wrong field.", "items": ref("FieldError")},
        "request_id": {"type": "string", "description": "Of a message that may be in the log or not."},
    }
    return {"description": "RFC 9457", **object_of(members, optional=("errors", "request_id"))}


def _field_error() -> Json:
    pointer = {"type": "string", "description": "A JSON pointer (RFC 6901)", "examples": ["#/email"]}
    return object_of({"pointer": pointer, "detail": _TEXT})
