"""The paths of the board's data in the OpenAPI document, and the schemas of what they answer."""

from typing import Any

from application.board_history import STEP_SECONDS, STEPS
from entrypoints.openapi_parts import answer, object_of, problems, ref
from entrypoints.problems import ProblemKind

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TIME: Json = {"type": "string", "format": "date-time"}


def board_paths(*, keyed: bool) -> Json:
    others = problems([ProblemKind.UNAUTHORIZED], keyed=keyed)
    return {
        "/api/v1/board": {
            "get": {
                "operationId": "readBoard",
                "summary": "How each topic, group and consumer stands now",
                "description": "Of topics that the key is for. `trouble` says that the log does not answer.",
                "responses": {"200": answer("As it stands", ref("Board")), **others},
            }
        },
        "/api/v1/history": {
            "get": {
                "operationId": "readHistory",
                "summary": "Rates and lag of the last hour",
                "description": "As this process of the API measured them. Of topics that the key is for.",
                "responses": {"200": answer("Oldest first", ref("History")), **others},
            }
        },
    }


def board_schemas() -> Json:
    """By name."""
    return {
        "Board": object_of(
            {
                "as_of": _TIME,
                "version": _TEXT,
                "log": {"type": "string", "enum": ["sqlite", "kafka", "memory"]},
                "trouble": {"type": ["string", "null"], "description": "Why something could not be read."},
                "topics": _list_of(_topic()),
                "consumers": _list_of(_consumer()),
            }
        ),
        "Channel": _channel(),
        "History": object_of(
            {
                "step_seconds": {"type": "integer", "enum": [STEP_SECONDS]},
                "ends_at": {**_TIME, "description": "When the newest step began."},
                "topics": _list_of(_topic_history()),
            }
        ),
    }


def _topic() -> Json:
    return object_of({"name": _TEXT, "partitions": _COUNT, "rate_in": _rate(), "groups": _list_of(_group())})


def _group() -> Json:
    return object_of(
        {
            "name": _TEXT,
            "rate_out": _rate(),
            "lag": _or_null("integer"),
            "deferred": _or_null("integer"),
            "oldest_unfinished_seconds": _or_null("number"),
            "processes": {**_COUNT, "description": "Consumers that told of themselves lately."},
            "processes_down": {**_COUNT, "description": "Those of them whose channel does not work."},
            "channel": ref("Channel"),
        }
    )


def _channel() -> Json:
    return object_of(
        {
            "state": {
                "type": "string",
                "enum": ["up", "down", "unknown"],
                "description": "down: for one process at least. unknown: none told of itself lately.",
            },
            "since": {"type": ["string", "null"], "format": "date-time"},
            "reason": {"type": "string", "description": "Why it is down."},
        }
    )


def _consumer() -> Json:
    return object_of(
        {
            "group": _TEXT,
            "process": {"type": "string", "description": "Its name, never given again."},
            "host": _TEXT,
            "pid": {"type": "integer"},
            "version": _TEXT,
            "started_at": _TIME,
            "at": {**_TIME, "description": "When it told this, by its own clock."},
            "waiting": {"type": "string", "description": "Why it does nothing now, or empty."},
            "in_flight": _COUNT,
            "channel": ref("Channel"),
            "topics": _list_of(object_of({"name": _TEXT, "partitions": _COUNT})),
        }
    )


def _topic_history() -> Json:
    group = {
        "name": _TEXT,
        "rate_out": _steps("number"),
        "lag": _steps("integer"),
        "deferred": _steps("integer"),
    }
    return object_of({"name": _TEXT, "rate_in": _steps("number"), "groups": _list_of(object_of(group))})


def _rate() -> Json:
    return {**_or_null("number"), "description": "Messages a second, lately; null: not known yet."}


def _or_null(kind: str) -> Json:
    return {"type": [kind, "null"], "minimum": 0}


def _steps(kind: str) -> Json:
    return {"type": "array", "maxItems": STEPS, "items": _or_null(kind)}


def _list_of(item: Json) -> Json:
    return {"type": "array", "items": item}
