"""Why Kafka has nothing at a position: the log begins later, or it ends earlier."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet

from adapters.kafka_reading import Reading, Readings
from domain.errors import LogUnavailable
from domain.log import Bounds, Shard

# A position beyond the end is believed after so many looks: just after a change of leaders a partition
# may show an end that is too low.
LOOKS = 5


class Doubts:
    """Looks at doubted shards, each in a task of its own, until it is known what is the matter.

    `begin` is called where the position turns out to be right, `overtaken` after the reading was told where
    the log begins, `fail` with a line for the operator. `pause`: seconds between two looks.
    """

    def __init__(
        self,
        readings: Readings,
        bounds: Callable[[AbstractSet[Shard]], Awaitable[Mapping[Shard, Bounds]]],
        *,
        begin: Callable[[Shard, int], None],
        overtaken: Callable[[], None],
        fail: Callable[[str], None],
        pause: float,
    ) -> None:
        self._readings = readings
        self._bounds = bounds
        self._begin = begin
        self._overtaken = overtaken
        self._fail = fail
        self._pause = pause
        self._lookers: set[asyncio.Task[None]] = set()

    def add(self, shard: Shard, reading: Reading) -> None:
        """Begins to look."""
        looker = asyncio.create_task(self._look(shard, reading), name="kafka-look")
        self._lookers.add(looker)
        looker.add_done_callback(self._lookers.discard)

    async def close(self) -> None:
        """Stops looking."""
        lookers = list(self._lookers)
        for looker in lookers:
            looker.cancel()
        await asyncio.gather(*lookers, return_exceptions=True)

    async def _look(self, shard: Shard, reading: Reading) -> None:
        looks = 0
        while self._readings.is_current(shard, reading):
            try:
                bounds = (await self._bounds({shard}))[shard]
            except LogUnavailable:
                await asyncio.sleep(self._pause)
                continue
            looks += 1
            if reading.next <= bounds.end:
                self._settle(shard, reading, bounds)
                return
            if looks == LOOKS:
                self._fail(
                    f"partition {shard.partition} of topic {shard.topic} ends at {bounds.end}, before the "
                    f"group's position {reading.next}: it was made anew or lost records; "
                    "look at it, then set the position"
                )
                return
            await asyncio.sleep(self._pause)

    def _settle(self, shard: Shard, reading: Reading, bounds: Bounds) -> None:
        if not self._readings.is_current(shard, reading):
            return
        if reading.next < bounds.first:
            reading.first = bounds.first
            self._overtaken()
        else:
            self._begin(shard, reading.next)
