"""The numbers of one delivery engine."""

from dataclasses import dataclass, field

from application.circuit_breaker import BreakerPolicy
from application.shards import HoldingLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Numbers of one engine; times in seconds.

    `most_per_second`: tries; 0 for no cap. `frozen_seconds`: half of what the group waits for a silent one.
    """

    concurrency: int = 64
    drain_seconds: float = 20.0
    record_seconds: float = 4.0
    commit_seconds: float = 1.0
    poll_seconds: float = 1.0
    measure_seconds: float = 5.0
    orders_seconds: float = 2.0
    stalled_seconds: float = 60.0
    tick_seconds: float = 1.0
    frozen_seconds: float = 15.0
    fetch_limit: int = 500
    dedupe_messages: int = 100_000
    most_per_second: float = 0.0
    limits: HoldingLimits = field(default_factory=HoldingLimits)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
