"""POST /api/v1/dead-letters/replay: sends dead letters again, some in each call."""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from adapters.message_json import DECODE_ERRORS, what_is_wrong
from application.replay import Chosen, ReplayCounts
from application.replay_portion import Portion, ReplayPortion
from domain.dead_letter import LetterFilter, parse_id
from domain.errors import HeraldError
from domain.message import FieldError, parse_time, pointer_to
from domain.ports import Clock
from entrypoints.api_keys import Grant
from entrypoints.dead_letters_page import unavailable
from entrypoints.endpoint import Call
from entrypoints.foreign_pages import is_foreign_origin
from entrypoints.letter_query import REASONS, mistakes, topics_or_refusal
from entrypoints.problems import JSON, Answer, Problem, ProblemKind, RawHeaders, answer

MOST_IDS = 100
FILTERS = ("group", "topic", "reason")
FIELDS = ("ids", *FILTERS, "all", "until", "dry_run")
NOBODY = "board"
"""Who put a letter back where no keys are set."""

_FOREIGN = Problem(
    ProblemKind.FOREIGN_ORIGIN,
    "The page's Origin is not the Host that was asked; a proxy in between must pass the Host header on.",
).answer()


_log = logging.getLogger("herald.api")


class ReplayEndpoint:
    """What is not asked for rightly changes nothing."""

    def __init__(self, replay: ReplayPortion, topics: Sequence[str], clock: Clock) -> None:
        self._replay = replay
        self._topics = frozenset(topics)
        self._clock = clock

    async def __call__(self, call: Call) -> Answer:
        try:
            body = msgspec.json.decode(call.body)
        except DECODE_ERRORS as error:
            return Problem(
                ProblemKind.NOT_JSON, f"Not a JSON text: {what_is_wrong(call.body, error)}."
            ).answer()
        if not isinstance(body, dict):
            return mistakes(ProblemKind.INVALID_BODY, [FieldError("#", "must be an object")])
        if errors := list(_wrong(body)):
            return mistakes(ProblemKind.INVALID_BODY, errors)
        topics = topics_or_refusal(body.get("topic") or "", call.grant, self._topics)
        if isinstance(topics, Answer):
            return topics
        return await self._answer(body, topics, call.grant)

    async def _answer(self, body: dict[str, Any], topics: frozenset[str], grant: Grant) -> Answer:
        until = _seconds(body["until"]) if body.get("until") else self._clock.now()
        by = grant.name or NOBODY
        strangers = [one for one in body.get("ids") or () if not _is_of(one, topics)]
        chosen = _chosen(body, topics, until, strangers)
        try:
            if body.get("dry_run"):
                portion = Portion(await self._replay.survey(chosen))
            else:
                portion = await self._replay(chosen, by=by)
                _tell(portion, by)
        except HeraldError as error:
            return unavailable(error)
        told = {**_counts(portion.counts, strangers), "remaining": portion.remaining, "until": _time(until)}
        return answer(200, JSON, msgspec.json.encode(told))


def _tell(portion: Portion, by: str) -> None:
    counts = portion.counts
    extra = {"action": "dead_letters_replayed", "by": by, "replayed": counts.replayed}
    _log.info("Dead letters were sent again", extra={**extra, "failed": counts.failed})


def is_foreign(headers: RawHeaders) -> bool:
    """Whether a browser says that a page of another host asks."""
    given = {name: value.decode("latin-1") for name, value in headers}
    return is_foreign_origin(given.get(b"origin"), given.get(b"host", ""))


def foreign() -> Answer:
    return _FOREIGN


def _chosen(body: dict[str, Any], topics: frozenset[str], until: float, strangers: Sequence[str]) -> Chosen:
    if "ids" in body:
        return [one for one in dict.fromkeys(body["ids"]) if one not in strangers]
    return LetterFilter(
        group=body.get("group", ""), topics=topics, reason=body.get("reason", ""), until=until
    )


def _is_of(letter_id: str, topics: frozenset[str]) -> bool:
    """A letter of a topic that is none of the asker's is answered as one that is not there."""
    place = parse_id(letter_id)
    return place is not None and place.topic in topics


def _counts(counts: ReplayCounts, strangers: Sequence[str]) -> dict[str, Any]:
    return {
        "replayed": counts.replayed,
        "already": counts.already,
        "parked": counts.parked,
        "failed": counts.failed,
        "unknown": [*counts.unknown, *dict.fromkeys(strangers)],
        "trouble": counts.trouble,
    }


# What may be asked ----------------------------------------------------------------------------


def _wrong(body: dict[str, Any]) -> Iterator[FieldError]:
    for name in body:
        if name not in FIELDS:
            yield FieldError(pointer_to(name), f"is not one of {', '.join(FIELDS)}")
    yield from _wrong_choice(body)
    if "ids" in body:
        yield from _wrong_ids(body["ids"])
    for name in FILTERS:
        if name in body and not (isinstance(body[name], str) and body[name]):
            yield FieldError(f"#/{name}", "must be a text that is not empty")
    if isinstance(reason := body.get("reason"), str) and reason and reason not in REASONS:
        yield FieldError("#/reason", f"must be one of {', '.join(REASONS)}")
    if "all" in body and body["all"] is not True:
        yield FieldError("#/all", "must be true, or left out")
    if "until" in body and not (isinstance(body["until"], str) and parse_time(body["until"])):
        yield FieldError("#/until", "must be a time (RFC 3339)")
    if "dry_run" in body and not isinstance(body["dry_run"], bool):
        yield FieldError("#/dry_run", "must be true or false")


def _wrong_choice(body: dict[str, Any]) -> Iterator[FieldError]:
    """An empty choice would mean all."""
    if sum(["ids" in body, any(name in body for name in FILTERS), "all" in body]) != 1:
        yield FieldError("#", f"must have one of: ids; all; or some of {', '.join(FILTERS)}")


def _wrong_ids(ids: object) -> Iterator[FieldError]:
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_IDS:
        yield FieldError("#/ids", f"must be a list of 1 to {MOST_IDS} ids")
        return
    for at, one in enumerate(ids):
        if not isinstance(one, str):
            yield FieldError(f"#/ids/{at}", "must be a text")


def _seconds(text: str) -> float:
    parsed = parse_time(text)
    return parsed.timestamp() if parsed is not None else 0.0


def _time(seconds: float) -> str:
    """To the microsecond, so that the next call means the very same."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
