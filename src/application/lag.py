"""How far each group is behind, counted from the log alone."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from application.commit_metadata import read_metadata
from domain.lag import Lag, PutOff, Standing
from domain.log import Shard
from domain.ports import Clock
from domain.topic import Topic
from domain.view_ports import GroupLags


class ReadLags:
    """By group and topic as the settings name them, partition by partition."""

    def __init__(self, lags: GroupLags, topics: Sequence[Topic], clock: Clock) -> None:
        self._lags = lags
        self._topics = tuple(topics)
        self._clock = clock

    async def __call__(self, topics: AbstractSet[str] | None = None) -> list[Lag]:
        """Of these topics; None: of all. Raises `LogUnavailable` and `UnknownVersion`."""
        asked = [topic for topic in self._topics if topics is None or topic.name in topics]
        groups = sorted({group for topic in asked for group in topic.groups})
        return [lag for group in groups for lag in await self._of_group(group, asked)]

    async def _of_group(self, group: str, topics: Sequence[Topic]) -> list[Lag]:
        shards = [
            Shard(topic.name, partition)
            for topic in topics
            if group in topic.groups
            for partition in range(topic.partitions)
        ]
        standings = await self._lags.standings(group, shards)
        put_off = await self._lags.put_off(group, {one.shard: _deferred_from(one) for one in standings})
        return [self._lag(group, standing, put_off[standing.shard]) for standing in standings]

    def _lag(self, group: str, standing: Standing, put_off: PutOff) -> Lag:
        position, bounds = standing.position, standing.bounds
        return Lag(
            group=group,
            topic=standing.shard.topic,
            partition=standing.shard.partition,
            end=bounds.end,
            committed=position.offset if position else None,
            # What retention took is nobody's work any more.
            lag=max(0, bounds.end - max(bounds.first, position.offset if position else 0)),
            deferred=put_off.count,
            oldest_unfinished_seconds=self._age(standing, put_off),
        )

    def _age(self, standing: Standing, put_off: PutOff) -> float:
        times = [time for time in (standing.waits_since, put_off.since) if time is not None]
        return round(max(0.0, self._clock.now() - min(times)), 3) if times else 0.0


def _deferred_from(standing: Standing) -> int:
    """How far back the group's deferrals may still be open."""
    places = read_metadata(standing.position.metadata) if standing.position else None
    return places.deferred if places else 0


def lag_answer(lags: Sequence[Lag]) -> dict[str, Any]:
    """The JSON object that the API and `herald lag --json` give."""
    return {
        "lag": [
            {
                "group": lag.group,
                "topic": lag.topic,
                "partition": lag.partition,
                "end": lag.end,
                "committed": lag.committed,
                "lag": lag.lag,
                "deferred": lag.deferred,
                "oldest_unfinished_seconds": lag.oldest_unfinished_seconds,
            }
            for lag in lags
        ]
    }
