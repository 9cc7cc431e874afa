"""The topics that have to exist: the configured ones, and Herald's own."""

from collections.abc import Iterator, Mapping, Sequence

from domain.discard import control_topic
from domain.ledger import deferred_topic, ledger_topic
from domain.topic import FOR_EVER, Cleanup, FoundTopic, Topic, TopicPlan, dead_letter_topic

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OWN_HEADERS_BYTES = 65_536
# Of a source that does not exist: what a log gives it unless told otherwise.
USUAL_SEGMENT_MS = 7 * DAY_MS
PRESENCE_MS, PRESENCE_SEGMENT_MS = HOUR_MS, HOUR_MS // 6


def plan_topics(
    topics: Sequence[Topic], dead_letter_days: int, found: Mapping[str, FoundTopic]
) -> tuple[TopicPlan, ...]:
    """Every topic that has to exist: the configured ones and Herald's own.

    Herald's own follow their source, as the log has it where the source exists.
    """
    plans: list[TopicPlan] = []
    for topic in topics:
        plans.append(_plan(topic))
        for group in topic.groups:
            plans += _own_plans(topic, group, found.get(topic.name), dead_letter_days)
    return tuple(plans)


def _own_plans(
    topic: Topic, group: str, source: FoundTopic | None, dead_letter_days: int
) -> Iterator[TopicPlan]:
    replication = source.replication_factor if source else topic.replication_factor
    partitions = source.partitions if source else topic.partitions
    yield TopicPlan(
        name=ledger_topic(topic.name, group),
        partitions=partitions,
        replication_factor=replication,
        retention_ms=_ledger_kept_ms(topic, source),
        beside=topic.name,
    )
    yield TopicPlan(
        name=deferred_topic(topic.name, group),
        partitions=partitions,
        replication_factor=replication,
        retention_ms=FOR_EVER,
        cleanup=Cleanup.COMPACT,
        extra_message_bytes=OWN_HEADERS_BYTES,
        beside=topic.name,
    )
    yield TopicPlan(
        name=dead_letter_topic(topic.name, group),
        partitions=1,
        replication_factor=replication,
        retention_ms=dead_letter_days * DAY_MS,
        extra_message_bytes=OWN_HEADERS_BYTES,
        beside=topic.name,
    )
    yield TopicPlan(
        name=control_topic(topic.name, group),
        partitions=1,
        replication_factor=replication,
        retention_ms=FOR_EVER,
        cleanup=Cleanup.COMPACT,
        beside=topic.name,
    )


def presence_plan(name: str, topics: Sequence[Topic]) -> TopicPlan:
    """In which processes tell of themselves, beside no topic."""
    return TopicPlan(
        name=name,
        partitions=1,
        replication_factor=max(topic.replication_factor for topic in topics),
        retention_ms=PRESENCE_MS,
        segment_ms=PRESENCE_SEGMENT_MS,
        stamped_by_log=True,
    )


def _ledger_kept_ms(topic: Topic, source: FoundTopic | None) -> int:
    """A finished message must not outlive its end in the ledger.

    A log forgets whole segments, when the last record is old enough: a message may stay for as long again.
    """
    kept_ms = topic.retention_hours * HOUR_MS
    if source is None:
        return kept_ms + USUAL_SEGMENT_MS + DAY_MS
    if source.retention_ms is not None:
        kept_ms = source.retention_ms
    return FOR_EVER if kept_ms < 0 else kept_ms + (source.segment_ms or 0) + DAY_MS


def _plan(topic: Topic) -> TopicPlan:
    return TopicPlan(
        name=topic.name,
        partitions=topic.partitions,
        replication_factor=topic.replication_factor,
        retention_ms=topic.retention_hours * HOUR_MS,
    )


def own_topics(topic: str, group: str) -> tuple[str, ...]:
    """What stands beside a topic for one of its groups: ledger, deferrals, dead letters and orders."""
    names = (ledger_topic, deferred_topic, dead_letter_topic, control_topic)
    return tuple(name(topic, group) for name in names)
