"""Tells how this consumer process stands, so that the board and `herald doctor` can see it from anywhere."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from application.counts import DeliveryCounts
from application.delivery_snapshot import DeliverySnapshot
from domain.errors import HeraldError
from domain.personal_data import mask
from domain.ports import Clock
from domain.presence import USUAL_TIMES, ChannelState, PresenceTimes, ProcessReport, TopicWork
from domain.view_ports import Presence

LOOK_SECONDS = 0.5  # so late at the most is a change of the channel or of its partitions told
_LONGEST_REASON = 200  # a provider's own words may be long
NO_PARTITION = "has no partition: other processes of the group have them"

logger = logging.getLogger("herald.presence")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """What never changes of a process. `name`: not given to another one ever."""

    name: str
    group: str
    host: str
    pid: int
    version: str
    topics: tuple[str, ...]


class ReportPresence:
    """`why_down`: why the channel does not work, `unready`: why the process does nothing; None: it does."""

    def __init__(
        self,
        presence: Presence,
        identity: ProcessIdentity,
        clock: Clock,
        *,
        snapshot: Callable[[], DeliverySnapshot],
        counts: DeliveryCounts,
        why_down: Callable[[], str | None],
        unready: Callable[[], Awaitable[str | None]],
        times: PresenceTimes = USUAL_TIMES,
    ) -> None:
        self._presence = presence
        self._identity = identity
        self._clock = clock
        self._snapshot = snapshot
        self._counts = counts
        self._why_down = why_down
        self._unready = unready
        self._times = times
        self._started_at = clock.now()
        self._channel = ChannelState(up=True, since=self._started_at)
        self._held: Mapping[str, int] = {}
        self._has_told = True

    async def run(self) -> None:
        """For ever. What cannot be told is told the next time; it holds up nothing."""
        while True:
            await self._tell()
            due = self._clock.monotonic() + self._times.tell
            while self._clock.monotonic() < due and not self._changes():
                await self._clock.sleep(LOOK_SECONDS)

    async def leave(self) -> None:
        """The last word. Bounded in time; raises nothing."""
        try:
            await self._presence.leave(self._identity.name)
        except HeraldError as error:
            self._note_silence(error)

    async def _tell(self) -> None:
        self._channel_changes()
        self._held = self._holds()
        try:
            await self._presence.tell(await self.report())
        except HeraldError as error:
            self._note_silence(error)
        else:
            self._has_told = True

    async def report(self) -> ProcessReport:
        """How the process stands now."""
        me, held = self._identity, self._holds()
        return ProcessReport(
            process=me.name,
            group=me.group,
            host=me.host,
            pid=me.pid,
            version=me.version,
            started_at=self._started_at,
            at=self._clock.now(),
            channel=self._channel,
            in_flight=self._snapshot().in_flight,
            topics=tuple(self._work(topic, held[topic]) for topic in me.topics),
            waiting=await self._unready() or ("" if held else NO_PARTITION),
        )

    def _changes(self) -> bool:
        return self._channel_changes() or self._held != self._holds()

    def _holds(self) -> Mapping[str, int]:
        """How many partitions of each topic."""
        return Counter(shard.topic for shard in self._snapshot().lags)

    def _work(self, topic: str, partitions: int) -> TopicWork:
        outcomes = {outcome: n for (of, outcome), n in self._counts.deliveries.items() if of == topic}
        return TopicWork(topic=topic, partitions=partitions, outcomes=outcomes)

    def _channel_changes(self) -> bool:
        """Whether it is not as it was last seen; from now on this is how it is."""
        reason = self._why_down()
        if reason is not None:
            reason = mask(reason)[:_LONGEST_REASON]
        if (reason or "") == self._channel.reason and (reason is None) == self._channel.up:
            return False
        self._channel = ChannelState(up=reason is None, since=self._clock.now(), reason=reason or "")
        return True

    def _note_silence(self, error: HeraldError) -> None:
        """Once, until it was possible again: in an outage of the log others have more to say."""
        if self._has_told:
            logger.warning(
                "This process cannot tell how it stands", extra={"action": "presence", "reason": str(error)}
            )
        self._has_told = False
