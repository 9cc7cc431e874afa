"""The queries behind the paths of dead letters: what is asked for, and of which topics."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from urllib.parse import parse_qsl

from domain.dead_letter import parse_place
from domain.message import FieldError, pointer_to
from domain.outcome import DeadLetterReason
from entrypoints.api_keys import Grant
from entrypoints.problems import Answer, Problem, ProblemKind

HIGHEST_LIMIT = 1000
REASONS = [reason.value for reason in DeadLetterReason]
TRUTH = {"true": True, "false": False}

_is_number = re.compile(r"[0-9]{1,9}\Z").match
_FORBIDDEN = Problem(ProblemKind.FORBIDDEN, "This key may not read of the topic in topic.").answer()
_UNKNOWN_TOPIC = Problem(
    ProblemKind.UNKNOWN_TOPIC, "topic is not one of the configured topics; GET /api/v1/topics lists them."
).answer()


def query_or_refusal(query_string: bytes, parameters: Sequence[str]) -> dict[str, str] | Answer:
    """The values by name, or an answer with every mistake."""
    pairs = parse_qsl(query_string.decode("latin-1"))
    query = dict(pairs)
    if errors := (*_twice(pairs), *_wrong(query, parameters)):
        return mistakes(ProblemKind.INVALID_QUERY, errors)
    return query


def topics_or_refusal(topic: str, grant: Grant, configured: AbstractSet[str]) -> frozenset[str] | Answer:
    """The topics that are looked at; `topic`: only this one, or empty.

    Who may not use a topic does not learn whether it exists.
    """
    if not topic:
        return topics_of(grant, configured)
    if not grant.allows(topic):
        return _FORBIDDEN
    return frozenset({topic}) if topic in configured else _UNKNOWN_TOPIC


def topics_of(grant: Grant, configured: AbstractSet[str]) -> frozenset[str]:
    """Those whose letters the asker may see; never none, which would not narrow."""
    return frozenset(configured) if grant.topics is None else grant.topics


def mistakes(kind: ProblemKind, errors: Sequence[FieldError]) -> Answer:
    count = "One mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
    return Problem(kind, f"{count}; see errors.", tuple(errors)).answer()


def _twice(pairs: Sequence[tuple[str, str]]) -> Iterator[FieldError]:
    names = [name for name, _ in pairs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield FieldError(pointer_to(name), "is given more than once")


def _wrong(query: dict[str, str], parameters: Sequence[str]) -> Iterator[FieldError]:
    """A filter that is not obeyed would show more than was asked for."""
    for name in query:
        if name not in parameters:
            yield FieldError(pointer_to(name), f"is not one of {', '.join(parameters)}")
    if query.get("reason", REASONS[0]) not in REASONS:
        yield FieldError("#/reason", f"must be one of {', '.join(REASONS)}")
    if query.get("replayed", "true") not in TRUTH:
        yield FieldError("#/replayed", "must be true or false")
    limit = query.get("limit", "1")
    if not (_is_number(limit) and 1 <= int(limit) <= HIGHEST_LIMIT):
        yield FieldError("#/limit", f"must be 1 to {HIGHEST_LIMIT}")
    if "after" in query and parse_place(query["after"]) is None:
        yield FieldError("#/after", "must be the next of an answer of this path")
