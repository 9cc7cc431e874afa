"""What became of one message, as its asker sees it."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

from domain.status import DeliveryStatus, MessageStatus, StoryStep
from domain.topic import Topic
from domain.view_ports import StatusView

_LAST_SECOND = 253_402_300_799.0  # of the year 9999


class ReadStatus:
    """Looks in the configured topics."""

    def __init__(self, view: StatusView, topics: Sequence[Topic]) -> None:
        self._view = view
        self._names = frozenset(topic.name for topic in topics)

    def knows(self, topic: str) -> bool:
        return topic in self._names

    async def __call__(self, request_id: str, topics: AbstractSet[str] | None = None) -> MessageStatus | None:
        """The newest message of this id in these topics; None: in all. Raises `LogUnavailable`."""
        asked = self._names if topics is None else self._names & topics
        if not request_id.isascii():
            return None  # no message has such an id, and not every text is one that a log could look for
        return await self._view.find(request_id, asked) if asked else None


def status_answer(status: MessageStatus) -> dict[str, Any]:
    """The JSON object that the API and `herald status --json` give; times are RFC 3339."""
    return {
        "request_id": status.request_id,
        "topic_name": status.topic_name,
        "partition": status.partition,
        "offset": status.offset,
        "accepted_at": _time(status.accepted_at),
        "as_of": _time(status.as_of),
        "deliveries": {group: _delivery(delivery) for group, delivery in status.deliveries.items()},
    }


def story_answer(status: MessageStatus) -> dict[str, Any]:
    """`status_answer`, and how the message came to stand so."""
    return {**status_answer(status), "story": [_step(step) for step in status.story]}


def _step(step: StoryStep) -> dict[str, Any]:
    return {
        "at": _time(step.at),
        "group": step.group or None,
        "event": step.event.value,
        "attempts": step.attempts,
        "uncertain_attempts": step.uncertain_attempts,
        "reason": step.reason or None,
        "provider_id": step.provider_id or None,
        "due_at": _time(step.due) if step.due else None,
        "dead_letter": step.dead_letter or None,
    }


def _delivery(delivery: DeliveryStatus) -> dict[str, Any]:
    return {
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "uncertain_attempts": delivery.uncertain_attempts,
        "reason": delivery.reason or None,
        "updated_at": _time(delivery.updated_at),
        "provider_id": delivery.provider_id or None,
    }


def _time(seconds: float) -> str:
    """Another producer may have given its record any time, also one that no date has."""
    return (
        datetime.fromtimestamp(min(seconds, _LAST_SECOND), UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
