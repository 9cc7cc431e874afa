from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from application.counts import AGE_BUCKETS, DeliveryCounts
from application.delivery_snapshot import DeliverySnapshot, ShardLag
from domain.outcome import DeadLetterReason
from entrypoints.consumer_metrics import METRICS, ConsumerMetrics

IDLE = DeliverySnapshot(group="email", in_flight=0, channel_up=True, lags=(), oldest_unfinished={})


def busy_counts() -> DeliveryCounts:
    counts = DeliveryCounts(
        deliveries=Counter({("orders", "sent"): 7, ("orders", "retried"): 2, ("bills", "sent"): 1}),
        dead_letters=Counter({("orders", DeadLetterReason.REFUSED): 3}),
        overtaken=Counter({"bills": 4}),
    )
    counts.age("orders", 0.02)
    counts.age("orders", 0.02)
    counts.age("orders", 100_000.0)
    return counts


def text_of(counts: DeliveryCounts, snapshot: DeliverySnapshot = IDLE) -> list[str]:
    metrics = ConsumerMetrics(
        counts=counts, snapshot=lambda: snapshot, version="0.1.0", started_at=1_800_000_000.0
    )
    return metrics.text().decode().splitlines()


@pytest.mark.parametrize(
    "line",
    [
        'herald_deliveries_total{group="email",outcome="sent",topic="orders"} 7.0',
        'herald_deliveries_total{group="email",outcome="retried",topic="orders"} 2.0',
        'herald_deliveries_total{group="email",outcome="sent",topic="bills"} 1.0',
        'herald_dead_letters_total{group="email",reason="refused",topic="orders"} 3.0',
        'herald_overtaken_messages_total{group="email",topic="bills"} 4.0',
        'herald_delivery_age_seconds_bucket{group="email",le="0.01",topic="orders"} 0.0',
        'herald_delivery_age_seconds_bucket{group="email",le="0.05",topic="orders"} 2.0',
        'herald_delivery_age_seconds_bucket{group="email",le="86400.0",topic="orders"} 2.0',
        'herald_delivery_age_seconds_bucket{group="email",le="+Inf",topic="orders"} 3.0',
        'herald_delivery_age_seconds_count{group="email",topic="orders"} 3.0',
        'herald_delivery_age_seconds_sum{group="email",topic="orders"} 100000.04',
        'herald_build_info{version="0.1.0"} 1.0',
    ],
)
def test_what_was_counted_is_told(line: str) -> None:
    assert line in with_sorted_labels(text_of(busy_counts()))


@pytest.mark.parametrize(
    "line",
    [
        'herald_lag_messages{group="sms",partition="0",topic="orders"} 5.0',
        'herald_lag_messages{group="sms",partition="1",topic="orders"} 0.0',
        'herald_oldest_unfinished_seconds{group="sms",topic="orders"} 12.5',
        'herald_in_flight_messages{group="sms"} 3.0',
        'herald_channel_up{group="sms"} 0.0',
        'herald_log_up{group="sms"} 0.0',
        "process_start_time_seconds 1.8e+09",
    ],
)
def test_the_engines_state_is_told(line: str) -> None:
    snapshot = DeliverySnapshot(
        group="sms",
        in_flight=3,
        channel_up=False,
        log_up=False,
        lags=(
            ShardLag(topic="orders", partition=0, end=15, committed=10),
            ShardLag(topic="orders", partition=1, end=3, committed=4),
        ),
        oldest_unfinished={"orders": 12.5},
    )

    assert line in with_sorted_labels(text_of(DeliveryCounts(), snapshot))


def test_what_is_counted_later_is_told_at_the_next_scrape() -> None:
    counts = DeliveryCounts()
    metrics = ConsumerMetrics(
        counts=counts, snapshot=lambda: IDLE, version="0.1.0", started_at=1_800_000_000.0
    )
    before = metrics.text()
    counts.deliveries["orders", "sent"] += 1

    assert b"outcome" not in before
    assert b'outcome="sent"' in metrics.text()


def test_the_list_of_metrics_is_what_is_told() -> None:
    families = list(text_string_to_metric_families("\n".join(text_of(busy_counts())) + "\n"))

    assert {(f.name, f.type, f.documentation) for f in families} == {
        (d.name.removesuffix("_total"), str(d.kind), d.meaning) for d in METRICS
    }


def test_a_topic_name_with_quotes_stays_one_label() -> None:
    lines = text_of(DeliveryCounts(overtaken=Counter({'a"b\\c': 1})))
    [family] = [f for f in text_string_to_metric_families("\n".join(lines) + "\n") if "overtaken" in f.name]

    assert [sample.labels["topic"] for sample in family.samples] == ['a"b\\c']


def test_every_bucket_of_the_ages_has_its_line() -> None:
    buckets = [
        line for line in text_of(busy_counts()) if line.startswith("herald_delivery_age_seconds_bucket")
    ]

    assert len(buckets) == len(AGE_BUCKETS) + 1


def with_sorted_labels(lines: list[str]) -> list[str]:
    return [_sorted_labels(line) for line in lines]


def _sorted_labels(line: str) -> str:
    name, brace, rest = line.partition("{")
    labels, end, value = rest.partition("}")
    return name + brace + ",".join(sorted(labels.split(","))) + end + value


def test_what_alerts_ask_about_is_told_before_it_happens() -> None:
    lines = with_sorted_labels(text_of(DeliveryCounts.of(["orders"])))

    assert 'herald_dead_letters_total{group="email",reason="uncertain",topic="orders"} 0.0' in lines
    assert 'herald_overtaken_messages_total{group="email",topic="orders"} 0.0' in lines
    assert 'herald_deliveries_total{group="email",outcome="sent",topic="orders"} 0.0' in lines
