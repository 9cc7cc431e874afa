"""The OpenAPI 3.1 document of the API."""

from collections.abc import Sequence
from typing import Any

from entrypoints.openapi_board import board_paths
from entrypoints.openapi_letters import letters_paths
from entrypoints.openapi_parts import RETRY_AFTER, answer, parameter, problem_content, problems, ref
from entrypoints.openapi_schemas import request_id, schemas
from entrypoints.problems import ProblemKind

Json = dict[str, Any]

_LOCATION: Json = {"Location": {"description": "Where the message's status is", "schema": {"type": "string"}}}


def openapi_document(version: str, topics: Sequence[str], *, keyed: bool, max_messages: int) -> Json:
    """What the API of these topics understands and answers. `keyed`: keys are asked for."""
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Herald",
            "version": version,
            "summary": "Takes messages, keeps them in a durable log, delivers each by email and by SMS.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(topics, max_messages, keyed=keyed),
        "components": {"schemas": schemas(topics)},
    }
    if keyed:
        document["security"] = [{"key": []}]
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


def _paths(topics: Sequence[str], max_messages: int, *, keyed: bool) -> Json:
    guarded = [ProblemKind.UNAUTHORIZED] if keyed else []
    return {
        "/api/v1/produce": {"post": _produce(topics, keyed=keyed)},
        "/api/v1/produce/batch": {"post": _batch(topics, max_messages, keyed=keyed)},
        "/api/v1/topics": {
            "get": _get("listTopics", "The topics", ref("Topics"), guarded, ProblemKind.LOG_UNAVAILABLE)
        },
        "/api/v1/messages/{request_id}": {"get": _message(topics, keyed=keyed)},
        "/api/v1/messages/{request_id}/story": {"get": _story(topics, keyed=keyed)},
        "/api/v1/lag": {
            "get": _get(
                "lag", "How far each group is behind", ref("Lags"), guarded, ProblemKind.LOG_UNAVAILABLE
            )
        },
        **letters_paths(topics, keyed=keyed),
        **board_paths(keyed=keyed),
        "/health/live": {"get": _open(_get("live", "Whether the process works", ref("Health"), []))},
        "/health/ready": {
            "get": _open(
                _get("ready", "Whether the log answers", ref("Health"), [], ProblemKind.LOG_UNAVAILABLE)
            )
        },
        "/metrics": {"get": _text("metrics", "Counts for Prometheus", "text/plain", guarded)},
        "/schema/openapi.json": {
            "get": _get("openapi", "This document", {"type": "object"}, guarded),
        },
        "/schema/asyncapi.json": {
            "get": _get(
                "asyncapi", "The topics and their records, as AsyncAPI 3", {"type": "object"}, guarded
            ),
        },
    }


def _open(operation: Json) -> Json:
    return {**operation, "security": []}


def _produce(topics: Sequence[str], *, keyed: bool) -> Json:
    others = {
        ProblemKind.NOT_FOUND,
        ProblemKind.METHOD_NOT_ALLOWED,
        ProblemKind.INVALID_QUERY,
        ProblemKind.INVALID_BODY,
        ProblemKind.FOREIGN_ORIGIN,
        ProblemKind.HEAD_TOO_LARGE,
    }
    kinds = [kind for kind in ProblemKind if kind not in others]
    return {
        "operationId": "produce",
        "summary": "Take one message",
        "description": "202 is answered only after the log has the message safely.",
        "parameters": [_traceparent()],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ref("Message"), "example": _example(topics)}},
        },
        "responses": {
            "202": {**answer("The log has it", ref("Accepted")), "headers": _LOCATION},
            **problems(kinds, keyed=keyed),
        },
    }


def _message(topics: Sequence[str], *, keyed: bool) -> Json:
    """What became of one message."""
    kinds = [
        ProblemKind.UNAUTHORIZED,
        ProblemKind.FORBIDDEN,
        ProblemKind.NOT_FOUND,
        ProblemKind.UNKNOWN_TOPIC,
    ]
    found = problems([*kinds, ProblemKind.LOG_UNAVAILABLE], keyed=keyed)
    found["404"]["headers"] = RETRY_AFTER
    topic = {"type": "string", "enum": list(topics)}
    return {
        "operationId": "readMessage",
        "summary": "What became of a message",
        "description": "Without topic_name it is the newest message of this id. A status is 2 s old at most.",
        "parameters": [
            {"name": "request_id", "in": "path", "required": True, "schema": request_id()},
            parameter("topic_name", topic),
        ],
        "responses": {"200": answer("What became of it", ref("MessageStatus")), **found},
    }


def _story(topics: Sequence[str], *, keyed: bool) -> Json:
    """How it came to stand so."""
    operation = _message(topics, keyed=keyed)
    story = {"200": answer("What became of it, step by step", ref("MessageStory"))}
    return {
        **operation,
        "operationId": "readStory",
        "summary": "What happened to a message, step by step",
        "responses": {**operation["responses"], **story},
    }


def _batch(topics: Sequence[str], max_messages: int, *, keyed: bool) -> Json:
    kinds = [
        ProblemKind.UNAUTHORIZED,
        ProblemKind.BODY_TOO_SLOW,
        ProblemKind.BODY_TOO_LARGE,
        ProblemKind.UNSUPPORTED_MEDIA_TYPE,
        ProblemKind.INTERNAL_ERROR,
    ]
    batch = ref("Batch")
    none_valid = answer("None could be accepted, or the body is no batch", batch)
    none_valid["content"] |= problem_content()
    none_confirmed = {**answer("The log confirmed none; or overloaded", batch), "headers": RETRY_AFTER}
    none_confirmed["content"] |= problem_content()
    array = {"type": "array", "minItems": 1, "maxItems": max_messages, "items": ref("Message")}
    return {
        "operationId": "produceBatch",
        "summary": "Take many messages; each stands for itself",
        "description": (
            "After the first message of a partition that the log did not confirm, all later ones of that "
            "partition are answered 503 too, so that sending them again keeps their order."
        ),
        "parameters": [_traceparent()],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": array, "example": [_example(topics)]},
                "application/x-ndjson": {
                    "schema": {"type": "string", "description": "A message as JSON on each line"}
                },
            },
        },
        "responses": {
            "202": answer("The log has all", batch),
            "207": answer("The log has some", batch),
            "400": none_valid,
            "503": none_confirmed,
            **problems(kinds, keyed=keyed),
        },
    }


def _get(name: str, summary: str, schema: Json, guarded: list[ProblemKind], *kinds: ProblemKind) -> Json:
    responses = {"200": answer(summary, schema), **problems([*guarded, *kinds], keyed=True)}
    return {"operationId": name, "summary": summary, "responses": responses}


def _text(name: str, summary: str, media_type: str, guarded: list[ProblemKind]) -> Json:
    found = {"description": summary, "content": {media_type: {"schema": {"type": "string"}}}}
    responses = {"200": found, **problems(guarded, keyed=True)}
    return {"operationId": name, "summary": summary, "responses": responses}


def _traceparent() -> Json:
    description = "W3C Trace Context; kept in the record's headers when it is well formed."
    return {"name": "traceparent", "in": "header", "description": description, "schema": {"type": "string"}}


def _example(topics: Sequence[str]) -> Json:
    return {
        "topic_name": topics[0],
        "message_body": "Your payment of 25.00 EUR has been received.",
        "transaction_id": "TX-1001",
        "customer_id": "C-7",
        "email": "ada@example.com",
        "phone": "+15551234567",
        "key": "C-7",
    }
