"""GET /api/v1/dead-letters: what could not be delivered, without addresses and bodies."""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl

import msgspec

from application.dead_letter_answer import dead_letters_answer
from domain.dead_letter import LetterFilter, parse_place
from domain.errors import HeraldError
from domain.message import FieldError, pointer_to
from domain.outcome import DeadLetterReason
from domain.ports import DeadLetterArchive
from entrypoints.api_keys import Grant
from entrypoints.problems import JSON, Answer, Problem, ProblemKind, answer

USUAL_LIMIT = 100
HIGHEST_LIMIT = 1000
PARAMETERS = ("group", "topic", "reason", "limit", "after")

_is_number = re.compile(r"[0-9]{1,9}\Z").match
_REASONS = [reason.value for reason in DeadLetterReason]
_FORBIDDEN = Problem(ProblemKind.FORBIDDEN, "This key may not read of the topic in topic.").answer()
_UNKNOWN_TOPIC = Problem(
    ProblemKind.UNKNOWN_TOPIC, "topic is not one of the configured topics; GET /api/v1/topics lists them."
).answer()


class DeadLettersPage:
    """Shows nothing of topics that the asker's key is not for, as nothing may be produced to them."""

    def __init__(self, archive: DeadLetterArchive, topics: Sequence[str]) -> None:
        self._archive = archive
        self._topics = frozenset(topics)

    async def __call__(self, query_string: bytes, grant: Grant) -> Answer:
        pairs = parse_qsl(query_string.decode("latin-1"))
        query = dict(pairs)
        if errors := (*_twice(pairs), *_wrong(query)):
            return _invalid(errors)
        topic = query.get("topic")
        if topic and not grant.allows(topic):
            return _FORBIDDEN
        if topic and topic not in self._topics:
            return _UNKNOWN_TOPIC
        topics = frozenset({topic}) if topic else (self._topics if grant.topics is None else grant.topics)
        wanted = LetterFilter(group=query.get("group", ""), topics=topics, reason=query.get("reason", ""))
        return await self._find(wanted, query)

    async def _find(self, wanted: LetterFilter, query: dict[str, str]) -> Answer:
        limit = int(query.get("limit", USUAL_LIMIT))
        try:
            page = await self._archive.find(wanted, after=parse_place(query.get("after", "")), limit=limit)
        except HeraldError as error:
            return Problem(ProblemKind.LOG_UNAVAILABLE, str(error)).answer()
        return answer(200, JSON, msgspec.json.encode(dead_letters_answer(page)))


def _twice(pairs: Sequence[tuple[str, str]]) -> Iterator[FieldError]:
    names = [name for name, _ in pairs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield FieldError(pointer_to(name), "is given more than once")


def _wrong(query: dict[str, str]) -> Iterator[FieldError]:
    """A filter that is not obeyed would show more than was asked for."""
    for name in query:
        if name not in PARAMETERS:
            yield FieldError(pointer_to(name), f"is not one of {', '.join(PARAMETERS)}")
    if query.get("reason", _REASONS[0]) not in _REASONS:
        yield FieldError("#/reason", f"must be one of {', '.join(_REASONS)}")
    limit = query.get("limit", "1")
    if not (_is_number(limit) and 1 <= int(limit) <= HIGHEST_LIMIT):
        yield FieldError("#/limit", f"must be 1 to {HIGHEST_LIMIT}")
    if "after" in query and parse_place(query["after"]) is None:
        yield FieldError("#/after", "must be the next of an answer of this path")


def _invalid(errors: Sequence[FieldError]) -> Answer:
    count = "One mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
    return Problem(ProblemKind.INVALID_QUERY, f"{count}; see errors.", tuple(errors)).answer()
