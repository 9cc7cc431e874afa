"""What the board shows: how each topic and group stands now, and how it stood in the last hour."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet

from application.board_history import STEP_SECONDS, GroupStep, History, Step, TopicStep
from application.board_rates import rate_in, rate_out
from application.board_reading import Reading
from domain.ports import Clock
from domain.topic import Topic

logger = logging.getLogger("herald.board")

RATE_SECONDS = 30.0
# A step whose predecessor was missed shows no rate of a time that is not its own.
_LONGEST_STEP = 2.5 * STEP_SECONDS


class Board:
    """`take`: reads how all stands now; asked as often as one likes, it costs one reading a second."""

    def __init__(self, take: Callable[[], Awaitable[Reading]], topics: Sequence[Topic], clock: Clock) -> None:
        self.history = History()
        self._take = take
        self._topics = tuple(topics)
        self._clock = clock
        self._lately: deque[Reading] = deque()
        self._fails = False

    def topics(self, asked: AbstractSet[str] | None) -> list[Topic]:
        """Of these names; None: all."""
        return [topic for topic in self._topics if asked is None or topic.name in asked]

    async def sample_always(self) -> None:
        """For ever, at each full step of the clock. Whatever a step fails of, the next ones are tried."""
        while True:
            try:
                await self.sample()
                self._fails = False
            except Exception:
                if not self._fails:  # once for as long as it lasts
                    logger.exception("The board missed a step", extra={"action": "board_failed"})
                self._fails = True
            await self._clock.sleep(STEP_SECONDS - self._clock.now() % STEP_SECONDS)

    async def sample(self) -> None:
        """Remembers how all stands now."""
        reading = await self._take()
        last = self._lately[-1] if self._lately else None
        pair = [last, reading] if last and reading.ticks - last.ticks <= _LONGEST_STEP else [reading]
        self.history.add(reading.at, self._step(pair))
        self._lately.append(reading)
        while reading.ticks - self._lately[0].ticks > RATE_SECONDS:
            self._lately.popleft()

    async def now(self) -> Sequence[Reading]:
        """Readings of the last `RATE_SECONDS`, oldest first; the last one is of this moment."""
        reading = await self._take()
        lately = [one for one in self._lately if 0 < reading.ticks - one.ticks <= RATE_SECONDS]
        return [*lately, reading]

    def _step(self, readings: Sequence[Reading]) -> Step:
        return {topic.name: _topic_step(readings, topic) for topic in self._topics}


def _topic_step(readings: Sequence[Reading], topic: Topic) -> TopicStep:
    groups = {group: _group_step(readings, topic.name, group) for group in topic.groups}
    return TopicStep(rate_in=rate_in(readings, topic.name), groups=groups)


def _group_step(readings: Sequence[Reading], topic: str, group: str) -> GroupStep:
    lags = readings[-1].lags_of(topic, group)
    return GroupStep(
        rate_out=rate_out(readings, topic, group),
        lag=None if lags is None else sum(lag.lag for lag in lags),
        deferred=None if lags is None else sum(lag.deferred for lag in lags),
    )
