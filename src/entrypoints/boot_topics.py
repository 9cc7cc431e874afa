"""What every process does about topics when it boots: makes what is missing, however long the log is away."""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from application.apply_topics import NONE_OF_THEM, Applied, ListedTopic
from domain.errors import LogUnavailable
from domain.ports import Clock
from domain.retry import Jitter, RetryPolicy

logger = logging.getLogger("herald.topics")

PAUSES = RetryPolicy(first_seconds=0.5, max_seconds=15.0)


async def apply_topics_at_boot(
    apply: Callable[[], Awaitable[Applied]],
    clock: Clock,
    *,
    warns_of_single_copies: bool,
    draw: Jitter = random.random,
) -> None:
    """Returns once every topic exists as configured; an outage of the log is waited out.

    Raises `TopicMismatch`, and `HeraldError` when the log refuses a topic for good.
    """
    failures = 0
    while (applied := await _try(apply, failures)) is None:
        failures += 1
        await clock.sleep(PAUSES.wait(failures, draw()))
    for topic in applied.created:
        logger.info("Topic created", extra={"action": "topic_created", "topic": topic})
    if applied.trouble:
        text = "No process can tell how it stands: the board and herald doctor see none"
        logger.warning(text, extra={"action": "presence_refused", "reason": applied.trouble})
    if warns_of_single_copies:
        for topic in applied.single_copy:
            text = "The log keeps one copy of a topic: one lost disk loses messages"
            logger.warning(text, extra={"action": "topic_single_copy", "topic": topic})


async def topics_made_elsewhere(
    list_topics: Callable[[], Awaitable[Sequence[ListedTopic]]],
    clock: Clock,
    *,
    draw: Jitter = random.random,
) -> None:
    """Returns once every topic is there, for a process whose neighbour makes them. Raises `HeraldError`."""
    looks = 0
    while not await _are_made(list_topics):
        looks += 1
        await clock.sleep(PAUSES.wait(looks, draw()))


async def _are_made(list_topics: Callable[[], Awaitable[Sequence[ListedTopic]]]) -> bool:
    try:
        return all(topic.found is not None for topic in await list_topics() if topic.own_of != NONE_OF_THEM)
    except LogUnavailable:
        return False  # the neighbour says so


async def _try(apply: Callable[[], Awaitable[Applied]], failures: int) -> Applied | None:
    try:
        return await apply()
    except LogUnavailable as error:
        # The first failure is worth a line; readiness tells of the later ones.
        level = logging.DEBUG if failures else logging.WARNING
        logger.log(level, "Topics wait for the log", extra={"action": "topics_wait", "reason": str(error)})
        return None
