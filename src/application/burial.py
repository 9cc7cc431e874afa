"""Keeps dead letters, for as long as it takes: nothing is finished before its letter is safe."""

import logging

from application.counts import DeliveryCounts
from application.tick import Tick
from application.verdict import Dead
from domain.dead_letter import DeadLetter
from domain.errors import LogUnavailable
from domain.log import Record
from domain.ports import Clock, DeadLetters

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

logger = logging.getLogger("herald.dead_letters")


class Burial:
    """A letter that cannot be kept holds its shard, and is tried again until it is kept."""

    def __init__(
        self, dead_letters: DeadLetters, clock: Clock, group: str, counts: DeliveryCounts, tick: Tick
    ) -> None:
        self._dead_letters = dead_letters
        self._clock = clock
        self._group = group
        self._counts = counts
        self._tick = tick

    async def bury(self, record: Record, dead: Dead, attempts: int) -> None:
        """Returns when the letter is kept."""
        letter = DeadLetter(
            record=record,
            group=self._group,
            reason=dead.reason,
            error=dead.error,
            attempts=attempts,
            failed_at=self._clock.now(),
        )
        await self._keep(letter)
        topic = record.shard.topic
        self._counts.dead_letters[topic, dead.reason] += 1
        logger.warning(
            "a message became a dead letter: %s",
            dead.error,
            extra={"action": "dead_letter", "reason": str(dead.reason), **_origin(record)},
        )

    async def _keep(self, letter: DeadLetter) -> None:
        pause = FIRST_PAUSE
        while True:
            self._tick.check()
            try:
                return await self._dead_letters.keep(letter)
            except LogUnavailable as error:
                logger.warning(
                    "a dead letter is not kept yet: %s",
                    error,
                    extra={"action": "dead_letter_waits", **_origin(letter.record)},
                )
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


def _origin(record: Record) -> dict[str, object]:
    return {"topic": record.shard.topic, "partition": record.shard.partition, "offset": record.offset}
