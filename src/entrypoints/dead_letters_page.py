"""What could not be delivered: lists, counts, and one letter whole."""

from collections.abc import Sequence
from typing import Any

import msgspec

from application.dead_letter_answer import dead_letters_answer, whole_letter
from application.letter_counts import CountLetters
from domain.dead_letter import LetterFilter, LetterTally, parse_id, parse_place
from domain.errors import HeraldError
from domain.ports import DeadLetterArchive
from entrypoints.api_keys import Grant
from entrypoints.letter_query import TRUTH, query_or_refusal, topics_of, topics_or_refusal
from entrypoints.problems import JSON, Answer, Problem, ProblemKind, answer

USUAL_LIMIT = 100
PARAMETERS = ("group", "topic", "reason", "replayed", "limit", "after")

_NO_STORE = (b"cache-control", b"no-store")
_NO_LETTER = Problem(
    ProblemKind.NOT_FOUND, "There is no dead letter of this id; GET /api/v1/dead-letters lists them."
).answer(_NO_STORE)


class DeadLettersPage:
    """Shows nothing of topics that the asker's key is not for, as nothing may be produced to them."""

    def __init__(self, archive: DeadLetterArchive, count: CountLetters, topics: Sequence[str]) -> None:
        self._archive = archive
        self._count = count
        self._topics = frozenset(topics)

    async def list(self, query_string: bytes, grant: Grant) -> Answer:
        """Without addresses and bodies."""
        query = query_or_refusal(query_string, PARAMETERS)
        if isinstance(query, Answer):
            return query
        topics = topics_or_refusal(query.get("topic", ""), grant, self._topics)
        if isinstance(topics, Answer):
            return topics
        wanted = LetterFilter(
            group=query.get("group", ""),
            topics=topics,
            reason=query.get("reason", ""),
            replayed=TRUTH.get(query.get("replayed", "")),
        )
        after, limit = parse_place(query.get("after", "")), int(query.get("limit", USUAL_LIMIT))
        try:
            page = await self._archive.find(wanted, after=after, limit=limit)
        except HeraldError as error:
            return unavailable(error)
        return answer(200, JSON, msgspec.json.encode(dead_letters_answer(page)))

    async def summary(self, query_string: bytes, grant: Grant) -> Answer:
        """How many wait, by group, topic and reason."""
        query = query_or_refusal(query_string, ("group", "topic"))
        if isinstance(query, Answer):
            return query
        topics = topics_or_refusal(query.get("topic", ""), grant, self._topics)
        if isinstance(topics, Answer):
            return topics
        try:
            counted = await self._count()
        except HeraldError as error:
            return unavailable(error)
        group = query.get("group", "")
        shown = [one for one in counted if one.topic in topics and group in {"", one.group}]
        return answer(200, JSON, msgspec.json.encode(_summary(shown)))

    async def letter(self, letter_id: str, grant: Grant) -> Answer:
        """All of it, address and body too: no copy is to be kept on the way."""
        place = parse_id(letter_id)
        if place is None or place.topic not in topics_of(grant, self._topics):
            return _NO_LETTER
        try:
            kept = await self._archive.get(letter_id)
        except HeraldError as error:
            return unavailable(error)
        if kept is None:
            return _NO_LETTER
        return answer(200, JSON, msgspec.json.encode(whole_letter(kept)), (_NO_STORE,))


def unavailable(error: HeraldError) -> Answer:
    return Problem(ProblemKind.LOG_UNAVAILABLE, str(error)).answer()


def _summary(counted: Sequence[LetterTally]) -> dict[str, Any]:
    return {
        "dead_letters": [
            {
                "group": one.group,
                "topic": one.topic,
                "reason": one.reason,
                "count": one.waiting,
                "parked": one.parked,
            }
            for one in counted
        ],
        "total": sum(one.waiting for one in counted),
        "parked": sum(one.parked for one in counted),
    }
