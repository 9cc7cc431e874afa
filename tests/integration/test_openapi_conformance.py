"""Requests made up from the OpenAPI document: what it allows is taken, what it forbids is refused."""

import copy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from entrypoints.openapi import openapi_document
from tests.api_parts import TOPICS, MemoryApi, shared_api

DOCUMENT = openapi_document("1.2.3", tuple(TOPICS), keyed=False, max_messages=10_000)
KEYED = openapi_document("1.2.3", tuple(TOPICS), keyed=True, max_messages=10_000)


@pytest.fixture
def api() -> MemoryApi:
    return shared_api(hot=True)


@pytest.fixture
def guarded() -> MemoryApi:
    return shared_api(hot=True, guarded=True)


def operations(document: dict[str, Any]) -> list[Any]:
    found: Any = schemathesis.openapi.from_dict(document).get_all_operations()
    return [operation.ok() for operation in found]


def within_partition_0(document: dict[str, Any]) -> dict[str, Any]:
    """A schema cannot say how many partitions which topic has; this one every topic has."""
    document = copy.deepcopy(document)
    document["components"]["schemas"]["Message"]["properties"]["partition"]["maximum"] = 0
    return document


ALLOWED = operations(within_partition_0(DOCUMENT))
FORBIDDEN = operations(DOCUMENT)[:2]


@pytest.mark.parametrize("operation", ALLOWED, ids=lambda operation: str(operation.label))
def test_whatever_the_document_allows_is_taken_and_answered_as_it_says(
    api: MemoryApi, operation: Any
) -> None:
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def answers(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(app=api.app)

    answers()


@pytest.mark.parametrize("operation", FORBIDDEN, ids=lambda operation: str(operation.label))
def test_whatever_the_document_forbids_is_refused_as_it_says(api: MemoryApi, operation: Any) -> None:
    # A batch with one wrong message among right ones is taken in part.
    excluded: list[Any] = [negative_data_rejection] if "batch" in operation.path else []

    @given(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def answers(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(app=api.app, excluded_checks=excluded)

    answers()


@pytest.mark.parametrize("operation", operations(KEYED), ids=lambda operation: str(operation.label))
def test_where_keys_are_asked_for_the_document_says_so(guarded: MemoryApi, operation: Any) -> None:
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def answers(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(app=guarded.app)

    answers()


# The document ---------------------------------------------------------------------------------------
