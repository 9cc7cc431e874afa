"""What the API has counted, as Prometheus text."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from application.counts import Histogram, ProduceCounts

METRICS_CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def render_produce_metrics(counts: ProduceCounts, version: str) -> bytes:
    """The text of `METRICS_CONTENT_TYPE`. No label takes a value of a message."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Produce(counts, version))
    return generate_latest(registry)


class _Produce(Collector):
    def __init__(self, counts: ProduceCounts, version: str) -> None:
        self._counts = counts
        self._version = version

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "herald_produce_requests", "Answered requests to produce, by HTTP status", labels=["status"]
        )
        for status, count in sorted(self._counts.requests.items()):
            requests.add_metric([str(status)], count)
        yield requests
        messages = CounterMetricFamily(
            "herald_produced_messages", "Messages that the log has taken", labels=["topic"]
        )
        for topic, count in sorted(self._counts.messages.items()):
            messages.add_metric([topic], count)
        yield messages
        yield _durations(self._counts.duration)
        build = GaugeMetricFamily("herald_build_info", "Always 1", labels=["version"])
        build.add_metric([self._version], 1)
        yield build


def _durations(histogram: Histogram) -> Metric:
    buckets = []
    below = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), below))
    family = HistogramMetricFamily(
        "herald_produce_duration_seconds", "From a produce request's headers to its answer"
    )
    family.add_metric([], buckets=buckets, sum_value=histogram.total)
    return family
