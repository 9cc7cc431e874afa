"""What the API shows of topics, messages and groups: only of topics that the asker's key is for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from application.lag import ReadLags, lag_answer
from application.status import ReadStatus, status_answer, story_answer
from domain.errors import HeraldError
from domain.status import MessageStatus
from domain.topic import Topic
from entrypoints.api_keys import Grant
from entrypoints.problems import JSON, RETRY_AFTER_SECONDS, Answer, Problem, ProblemKind, answer

_SOON = (b"retry-after", b"%d" % RETRY_AFTER_SECONDS)
_NOT_KNOWN = Problem(
    ProblemKind.NOT_FOUND, "No message with this request_id is known, or not yet; ask again in a moment."
).answer(_SOON)
_FORBIDDEN = Problem(ProblemKind.FORBIDDEN, "This key may not read of the topic in topic_name.").answer()
_UNKNOWN_TOPIC = Problem(
    ProblemKind.UNKNOWN_TOPIC,
    "topic_name is not one of the configured topics; GET /api/v1/topics lists them.",
).answer()


def query_of(query_string: bytes) -> Mapping[str, str]:
    """The last value of each name; one without a value counts as absent."""
    return {name: values[-1] for name, values in parse_qs(query_string.decode("latin-1")).items()}


class ReadingPages:
    """The pages whose answer depends on who asks. `query`: the names and values behind the path."""

    def __init__(
        self,
        list_topics: Callable[[], Awaitable[Sequence[Topic]]],
        read_status: ReadStatus,
        read_lags: ReadLags,
    ) -> None:
        self._list_topics = list_topics
        self._read_status = read_status
        self._read_lags = read_lags

    async def topics(self, grant: Grant) -> Answer:
        try:
            topics = await self._list_topics()
        except HeraldError as error:
            return _unavailable(error)
        shown = [_topic(topic) for topic in topics if grant.allows(topic.name)]
        return answer(200, JSON, msgspec.json.encode({"topics": shown}))

    async def message(self, request_id: str, query: Mapping[str, str], grant: Grant) -> Answer:
        return await self._told(request_id, query, grant, status_answer)

    async def story(self, request_id: str, query: Mapping[str, str], grant: Grant) -> Answer:
        return await self._told(request_id, query, grant, story_answer)

    async def _told(
        self,
        request_id: str,
        query: Mapping[str, str],
        grant: Grant,
        told: Callable[[MessageStatus], dict[str, Any]],
    ) -> Answer:
        topics = grant.topics
        if topic := query.get("topic_name"):
            # Who may not use a topic does not learn whether it exists.
            if not grant.allows(topic):
                return _FORBIDDEN
            if not self._read_status.knows(topic):
                return _UNKNOWN_TOPIC
            topics = frozenset({topic})
        try:
            status = await self._read_status(request_id, topics)
        except HeraldError as error:
            return _unavailable(error)
        return _NOT_KNOWN if status is None else answer(200, JSON, msgspec.json.encode(told(status)))

    async def lag(self, grant: Grant) -> Answer:
        try:
            lags = await self._read_lags(grant.topics)
        except HeraldError as error:
            return _unavailable(error)
        return answer(200, JSON, msgspec.json.encode(lag_answer(lags)))


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "partitions": topic.partitions,
        "replication_factor": topic.replication_factor,
        "groups": topic.groups,
    }


def _unavailable(error: HeraldError) -> Answer:
    return Problem(ProblemKind.LOG_UNAVAILABLE, str(error)).answer()
