"""What happened, as plain numbers: written in passing, read when somebody scrapes the metrics."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from domain.outcome import DeadLetterReason

COUNTED_OUTCOMES = ("sent", "skipped", "repeated", "dead", "expired", "retried", "uncertain")
DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
AGE_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)


class Histogram:
    """Observed seconds in buckets; `counts` has one place more than `bounds`, for what is above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class ProduceCounts:
    """Of one API process. `requests` by HTTP status, `messages` by topic."""

    requests: Counter[int] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    duration: Histogram = field(default_factory=lambda: Histogram(DURATION_BUCKETS))

    @classmethod
    def of(cls, topics: Iterable[str]) -> Self:
        """With zeros for what alerts ask about: a count that begins at 1 shows no increase."""
        return cls(Counter(dict.fromkeys((202, 503), 0)), Counter(dict.fromkeys(topics, 0)))


@dataclass(slots=True)
class DeliveryCounts:
    """Of one consumer process.

    `deliveries` by topic and outcome (sent, dead, expired, skipped, repeated, retried, uncertain); `ages` by
    topic: seconds from the log's timestamp to the provider's yes; `dead_letters` by topic and reason;
    `overtaken` by topic: messages that retention deleted unread.
    """

    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    overtaken: Counter[str] = field(default_factory=Counter)
    ages: dict[str, Histogram] = field(default_factory=dict)

    @classmethod
    def of(cls, topics: Iterable[str]) -> Self:
        """With zeros for all that may come to be counted: a count that begins at 1 shows no increase."""
        counts = cls()
        for topic in topics:
            counts.deliveries.update({(topic, outcome): 0 for outcome in COUNTED_OUTCOMES})
            counts.dead_letters.update({(topic, str(reason)): 0 for reason in DeadLetterReason})
            counts.overtaken[topic] = 0
        return counts

    def age(self, topic: str, seconds: float) -> None:
        histogram = self.ages.get(topic)
        if histogram is None:
            histogram = self.ages[topic] = Histogram(AGE_BUCKETS)
        histogram.observe(seconds)
