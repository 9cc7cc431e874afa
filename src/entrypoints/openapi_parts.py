"""What operations of the OpenAPI document are put together from."""

from collections.abc import Sequence
from typing import Any

from entrypoints.problems import ProblemKind

Json = dict[str, Any]

RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds to wait at least", "schema": {"type": "integer", "minimum": 0}}
}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def answer(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def problems(kinds: Sequence[ProblemKind], *, keyed: bool) -> Json:
    """A response for each status; several kinds of one status share it."""
    responses: Json = {}
    for kind in kinds:
        if not keyed and kind in {ProblemKind.UNAUTHORIZED, ProblemKind.FORBIDDEN}:
            continue
        response = responses.setdefault(str(kind.status), {"description": "", "content": problem_content()})
        response["description"] = ", ".join(filter(None, [response["description"], kind.slug]))
        if kind in {ProblemKind.LOG_UNAVAILABLE, ProblemKind.OVERLOADED}:
            response["headers"] = RETRY_AFTER
    return responses


def problem_content() -> Json:
    return {"application/problem+json": {"schema": ref("Problem")}}


def object_of(properties: Json, optional: Sequence[str] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def ecma(pattern: str) -> str:
    """Schemas have patterns of ECMA-262: there `$` is the very end, and Python's own sign for it unknown."""
    return pattern.replace(r"\Z", "$")
