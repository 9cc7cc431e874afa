"""How all topics and groups stand at one moment: read once for all who ask, and bounded in time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from application.deadline import within
from application.lag import ReadLags
from domain.errors import HeraldError
from domain.lag import Lag
from domain.log import Shard
from domain.ports import Clock
from domain.presence import ProcessReport, TopicWork
from domain.view_ports import Presence

ANSWER_SECONDS = 5.0
FRESH_SECONDS = 1.0

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`at` in epoch seconds, `ticks` of the same moment in monotonic ones.

    `lags`, `reports`: None where they could not be read; then `trouble` says why in one line. What is
    looked for is found by its name: to look through all topics for each is too much for hundreds of them.
    """

    at: float
    ticks: float
    lags: Sequence[Lag] | None
    reports: Sequence[ProcessReport] | None
    trouble: str | None = None
    _lags: dict[str, list[Lag]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _works: dict[str, dict[str, TopicWork]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def work_of(self, report: ProcessReport, topic: str) -> TopicWork | None:
        """What one of its reports says of the topic."""
        if report.process not in self._works:
            self._works[report.process] = {work.topic: work for work in report.topics}
        return self._works[report.process].get(topic)

    def _of_topic(self, topic: str) -> list[Lag]:
        if not self._lags:
            for lag in self.lags or ():
                self._lags.setdefault(lag.topic, []).append(lag)
        return self._lags.get(topic, [])

    def ends(self, topic: str) -> Mapping[Shard, int]:
        """Where each partition of the topic ends; a group that was asked later may have seen more."""
        ends: dict[Shard, int] = {}
        for lag in self._of_topic(topic):
            shard = Shard(topic, lag.partition)
            ends[shard] = max(lag.end, ends.get(shard, 0))
        return ends

    def lags_of(self, topic: str, group: str) -> list[Lag] | None:
        """By partition; None: not known."""
        if self.lags is None:
            return None
        return [lag for lag in self._of_topic(topic) if lag.group == group]


class TakeReadings:
    """One is taken at a time and serves all who ask meanwhile and within `FRESH_SECONDS` after."""

    def __init__(self, read_lags: ReadLags, presence: Presence, clock: Clock) -> None:
        self._read_lags = read_lags
        self._presence = presence
        self._clock = clock
        self._newest: Reading | None = None
        self._taken_at = 0.0
        self._taking: asyncio.Task[Reading] | None = None

    async def __call__(self) -> Reading:
        """Whatever the log does, within `ANSWER_SECONDS`."""
        if self._newest is not None and self._clock.monotonic() - self._taken_at < FRESH_SECONDS:
            return self._newest
        if self._taking is None or self._taking.done():
            self._taking = asyncio.create_task(self._take(), name="board-reading")
        # Who does not wait any longer ends nothing that others wait for.
        return await asyncio.shield(self._taking)

    async def close(self) -> None:
        """Whoever still waits is cancelled."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)

    async def _take(self) -> Reading:
        at, ticks = self._clock.now(), self._clock.monotonic()
        (lags, no_lags), (reports, no_reports) = await asyncio.gather(
            self._ask(self._read_lags, "how far the groups are behind"),
            self._ask(self._presence.seen, "which consumers there are"),
        )
        self._newest = Reading(at=at, ticks=ticks, lags=lags, reports=reports, trouble=no_lags or no_reports)
        self._taken_at = self._clock.monotonic()
        return self._newest

    async def _ask(self, what: Callable[[], Awaitable[Told]], about: str) -> tuple[Told | None, str | None]:
        """What is told, or None and why it is not."""
        told: list[Told] = []

        async def ask() -> None:
            told.append(await what())

        try:
            if await within(self._clock, ANSWER_SECONDS, ask()):
                return told[0], None
        except HeraldError as error:
            return None, str(error)
        return None, f"the log did not tell within {ANSWER_SECONDS:g} seconds {about}"
