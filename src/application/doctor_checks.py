"""What `herald doctor` concludes from the log: topics, consumers, their channels, and what may be lost."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from application.apply_topics import ApplyTopics, ListedTopic, mismatches
from application.monitor import RISK_SHARE
from application.topic_plans import HOUR_MS
from domain.diagnosis import ClockReading, Finding, Seen, ok, unknown, warning, wrong
from domain.log import Shard
from domain.ports import Clock
from domain.presence import ProcessReport
from domain.topic import FOR_EVER, Topic
from domain.view_ports import GroupLags, Presence

TOPICS, RETENTION = "topics", "retention"


class LookAtTopics:
    """Whether the topics are as the settings say. `warns_of_single_copies`: on a log that has copies."""

    def __init__(self, apply: ApplyTopics, *, warns_of_single_copies: bool) -> None:
        self._apply = apply
        self._warns = warns_of_single_copies

    async def look(self) -> Seen:
        """Raises `LogUnavailable`."""
        listed = await self._apply.list_topics()
        findings = [*_unlike_settings(listed), *(_single_copies(listed) if self._warns else ())]
        configured = sum(topic.own_of is None for topic in listed)
        return Seen(tuple(findings) or (ok(TOPICS, _all_there(configured, len(listed) - configured)),))


def _all_there(configured: int, own: int) -> str:
    return f"{configured} as the settings say, and {own} of Herald's own"


def _unlike_settings(listed: Sequence[ListedTopic]) -> Iterator[Finding]:
    for fault in (fault for topic in listed for fault in mismatches(topic)):
        says, _, remedy = fault.rpartition(": ")
        yield wrong(TOPICS, says, remedy)
    if missing := [topic.plan.name for topic in listed if topic.found is None]:
        verb = "does not" if len(missing) == 1 else "do not"
        yield wrong(TOPICS, f"{', '.join(missing)} {verb} exist", "run 'herald topics apply'")


def _single_copies(listed: Sequence[ListedTopic]) -> Iterator[Finding]:
    single = [t.plan.name for t in listed if t.found and not t.own_of and t.found.replication_factor == 1]
    if single:
        says = f"the log keeps one copy of {', '.join(single)}: one lost disk loses messages"
        yield warning(TOPICS, says, "raise its replication to 3 on the brokers (kafka-reassign-partitions)")


class LookAtConsumers:
    """Whether each group has a process, since when, and whether its channel works as its processes see it."""

    def __init__(self, presence: Presence, groups: Sequence[str], version: str, clock: Clock) -> None:
        self._presence = presence
        self._groups = tuple(groups)
        self._version = version
        self._clock = clock

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for group in self._groups for name in (_consumers(group), _channel(group)))

    async def look(self) -> Seen:
        """Raises `LogUnavailable`."""
        async with self._presence as presence:
            reports = await presence.seen()
        now = self._clock.now()
        of_group = {group: [one for one in reports if one.group == group] for group in self._groups}
        findings = [
            finding for group in self._groups for finding in self._of_group(group, of_group[group], now)
        ]
        clocks = [
            ClockReading(source=f"the consumer on {one.host}", ahead=one.at - now, may_lag=True)
            for one in reports
        ]
        return Seen(tuple(findings), tuple(clocks))

    def _of_group(self, group: str, reports: Sequence[ProcessReport], now: float) -> Iterator[Finding]:
        if not reports:
            yield wrong(
                _consumers(group), "no process of this group runs", f"start 'herald consumer {group}'"
            )
            yield unknown(_channel(group), "not known without a consumer")
            return
        yield self._processes(group, reports)
        yield _channel_finding(group, reports, now)

    def _processes(self, group: str, reports: Sequence[ProcessReport]) -> Finding:
        name, shown = _consumers(group), "; ".join(map(_process, reports))
        says = f"{_count(len(reports), 'process', 'processes')}: {shown}"
        if all(one.waiting for one in reports):
            return warning(
                name, f"none of {says}", "see the lines about the log, and the consumer's log file"
            )
        if others := sorted({one.version for one in reports} - {self._version}):
            return warning(
                name, f"{says}, of version {', '.join(others)} and not {self._version}", "update all"
            )
        return ok(name, says)


def _process(report: ProcessReport) -> str:
    waiting = f", waits: {report.waiting}" if report.waiting else ""
    return f"{report.host} pid {report.pid} since {moment(report.started_at)}{waiting}"


def _channel_finding(group: str, reports: Sequence[ProcessReport], now: float) -> Finding:
    name = _channel(group)
    down = [one for one in reports if not one.channel.up]
    if not down:
        return ok(name, f"up since {moment(max(one.channel.since for one in reports))}")
    first = min(down, key=lambda one: one.channel.since)
    where = "" if len(down) == len(reports) else f" for {len(down)} of {len(reports)} processes"
    for_long = age(max(0.0, now - first.channel.since))
    says = f"down{where} since {moment(first.channel.since)} ({for_long}): {first.channel.reason}"
    return wrong(name, says, "mend that; the backlog then drains by itself")


class LookAtRetention:
    """Whether the log will forget messages before their groups have come to them."""

    def __init__(
        self, lags: GroupLags, apply: ApplyTopics, topics: Sequence[Topic], clock: Clock, *, log_forgets: bool
    ) -> None:
        self._lags = lags
        self._apply = apply
        self._topics = tuple(topics)
        self._clock = clock
        self._log_forgets = log_forgets

    async def look(self) -> Seen:
        """Raises `LogUnavailable`."""
        listed = {topic.plan.name: topic for topic in await self._apply.list_topics()}
        if any(listed[topic.name].found is None for topic in self._topics):
            return Seen((unknown(RETENTION, "not known before every topic exists"),))
        async with self._lags as lags:
            ages = [one for topic in self._topics for one in await self._ages(lags, topic)]
        kept = {name: _kept_seconds(topic) for name, topic in listed.items()}
        return Seen(tuple(self._findings(ages, kept)))

    async def _ages(self, lags: GroupLags, topic: Topic) -> list[tuple[str, str, float]]:
        """Group, topic and the age of the oldest message that only the log keeps."""
        shards = [Shard(topic.name, partition) for partition in range(topic.partitions)]
        found = []
        for group in topic.groups:
            times = [one.waits_since for one in await lags.standings(group, shards)]
            since = min((time for time in times if time is not None), default=None)
            if since is not None:
                found.append((group, topic.name, max(0.0, self._clock.now() - since)))
        return found

    def _findings(
        self, ages: Sequence[tuple[str, str, float]], kept: Mapping[str, float | None]
    ) -> Iterable[Finding]:
        if not ages:
            return [ok(RETENTION, "nothing waits")]
        at_risk = [one for one in ages if self._is_at_risk(one[2], kept[one[1]])]
        if at_risk:
            return [_at_risk(*one, kept[one[1]] or 0.0) for one in at_risk]
        group, topic, oldest = max(ages, key=lambda one: one[2])
        says = f"the oldest message that waits has {age(oldest)} ({group}, {topic})"
        seconds = kept[topic]
        if seconds is None or not self._log_forgets:
            return [ok(RETENTION, f"{says}; the log keeps what is unfinished")]
        return [ok(RETENTION, f"{says} of {age(seconds)}")]

    def _is_at_risk(self, oldest: float, kept: float | None) -> bool:
        return self._log_forgets and kept is not None and oldest >= RISK_SHARE * kept


def _at_risk(group: str, topic: str, oldest: float, kept: float) -> Finding:
    says = f"the oldest message of {topic} that {group} has not finished has {age(oldest)} of {age(kept)}"
    return wrong(RETENTION, says, "lengthen retention.ms or add consumers before the log deletes it")


def _kept_seconds(topic: ListedTopic) -> float | None:
    """How long the log keeps a record; None: for ever."""
    found = topic.found.retention_ms if topic.found else None
    ms = topic.plan.retention_ms if found is None else found
    return None if ms == FOR_EVER else ms / HOUR_MS * 3600


def _consumers(group: str) -> str:
    return f"consumers {group}"


def _channel(group: str) -> str:
    return f"channel {group}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def age(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
