"""What a consumer process tells Prometheus: counts and the engine's state as text."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from application.counts import COUNTED_OUTCOMES, DeliveryCounts, Histogram
from application.delivery_snapshot import DeliverySnapshot

Samples = Iterable[tuple[Sequence[str], float]]


class Kind(StrEnum):
    """How a metric is read."""

    COUNTER = "counter"  # only grows while the process lives
    GAUGE = "gauge"  # goes up and down
    HISTOGRAM = "histogram"  # how many fell into each range


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric as a scraper sees it."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...]


METRICS = (
    Definition(
        "herald_deliveries_total",
        Kind.COUNTER,
        f"What came of messages and tries: {', '.join(COUNTED_OUTCOMES)}",
        ("topic", "group", "outcome"),
    ),
    Definition(
        "herald_delivery_age_seconds",
        Kind.HISTOGRAM,
        "From the log's timestamp to the provider's yes",
        ("topic", "group"),
    ),
    Definition(
        "herald_dead_letters_total",
        Kind.COUNTER,
        "Messages that became dead letters, by reason",
        ("topic", "group", "reason"),
    ),
    Definition(
        "herald_overtaken_messages_total",
        Kind.COUNTER,
        "Messages that retention deleted before they were read",
        ("topic", "group"),
    ),
    Definition(
        "herald_lag_messages",
        Kind.GAUGE,
        "Messages of a partition that this process has, not yet committed",
        ("topic", "group", "partition"),
    ),
    Definition(
        "herald_oldest_unfinished_seconds",
        Kind.GAUGE,
        "Age of the oldest message that is neither sent nor given up",
        ("topic", "group"),
    ),
    Definition(
        "herald_retention_used_ratio",
        Kind.GAUGE,
        "Age of the oldest message that only the log keeps, as a share of its topic's retention",
        ("topic", "group"),
    ),
    Definition(
        "herald_deferred_messages",
        Kind.GAUGE,
        "Messages that kept failing and are put off, of partitions that this process has",
        ("topic", "group"),
    ),
    Definition("herald_in_flight_messages", Kind.GAUGE, "Messages being sent now", ("group",)),
    Definition(
        "herald_channel_up",
        Kind.GAUGE,
        "1 while the channel is thought to work, 0 while it is only probed",
        ("group",),
    ),
    Definition(
        "herald_log_up",
        Kind.GAUGE,
        "1 if the log answered when it was asked last; a process without a partition does not ask",
        ("group",),
    ),
    Definition(
        "process_start_time_seconds", Kind.GAUGE, "When this process started, in seconds since the epoch", ()
    ),
    Definition("herald_build_info", Kind.GAUGE, "Always 1; the version is in the label", ("version",)),
)

_DEFINITIONS = {definition.name: definition for definition in METRICS}


class ConsumerMetrics(Collector):
    """Reads the counts and asks for a snapshot whenever somebody scrapes."""

    def __init__(
        self,
        *,
        counts: DeliveryCounts,
        snapshot: Callable[[], DeliverySnapshot],
        version: str,
        started_at: float,
    ) -> None:
        self._counts = counts
        self._snapshot = snapshot
        self._version = version
        self._started_at = started_at
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: without it, registering would collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        yield from self._counted(snapshot.group)
        yield from _measured(snapshot)
        yield _gauge("process_start_time_seconds", [((), self._started_at)])
        yield _gauge("herald_build_info", [((self._version,), 1)])

    def _counted(self, group: str) -> Iterator[Metric]:
        counts = self._counts
        yield _counter(
            "herald_deliveries_total",
            (((topic, group, outcome), n) for (topic, outcome), n in counts.deliveries.items()),
        )
        yield _histogram("herald_delivery_age_seconds", group, counts.ages)
        yield _counter(
            "herald_dead_letters_total",
            (((topic, group, str(reason)), n) for (topic, reason), n in counts.dead_letters.items()),
        )
        yield _counter(
            "herald_overtaken_messages_total",
            (((topic, group), n) for topic, n in counts.overtaken.items()),
        )


def _measured(snapshot: DeliverySnapshot) -> Iterator[Metric]:
    group = snapshot.group
    yield _gauge(
        "herald_lag_messages",
        (((shard.topic, group, str(shard.partition)), shard.lag) for shard in snapshot.lags),
    )
    yield _gauge(
        "herald_oldest_unfinished_seconds",
        (((topic, group), seconds) for topic, seconds in snapshot.oldest_unfinished.items()),
    )
    yield _gauge(
        "herald_retention_used_ratio",
        (((topic, group), share) for topic, share in snapshot.retention_used.items()),
    )
    yield _gauge(
        "herald_deferred_messages",
        (((topic, group), count) for topic, count in _deferred(snapshot).items()),
    )
    yield _gauge("herald_in_flight_messages", [((group,), snapshot.in_flight)])
    yield _gauge("herald_channel_up", [((group,), int(snapshot.channel_up))])
    yield _gauge("herald_log_up", [((group,), int(snapshot.log_up))])


def _deferred(snapshot: DeliverySnapshot) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for shard in snapshot.lags:
        counts[shard.topic] += shard.deferred
    return counts


def _counter(name: str, samples: Samples) -> Metric:
    definition = _DEFINITIONS[name]
    family = CounterMetricFamily(name, definition.meaning, labels=definition.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _gauge(name: str, samples: Samples) -> Metric:
    definition = _DEFINITIONS[name]
    family = GaugeMetricFamily(name, definition.meaning, labels=definition.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _histogram(name: str, group: str, by_topic: Mapping[str, Histogram]) -> Metric:
    definition = _DEFINITIONS[name]
    family = HistogramMetricFamily(name, definition.meaning, labels=definition.labels)
    for topic, histogram in by_topic.items():
        bounds = [*map(str, histogram.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric((topic, group), buckets, histogram.total)
    return family
