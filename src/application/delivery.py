"""One message on its way to the provider."""

from dataclasses import dataclass

from application.shards import ShardState
from domain.log import Record, Shard
from domain.message import Message

LaneKey = tuple[Shard, bytes]


@dataclass(slots=True, eq=False)
class Delivery:
    """A record that is held in memory until it is finished. Mutable: it lives in one process only.

    `failures` counts all failed tries in a row, for the backoff; `attempts` only those that were the
    message's own fault; `uncertain` those whose answer was lost. Times are the clock's monotonic ones, but
    `expires_at`, which is in epoch seconds.
    """

    record: Record
    message: Message
    shard: ShardState
    lane: LaneKey | None
    size: int
    attempts: int = 0
    uncertain: int = 0
    failures: int = 0
    expires_at: float | None = None
    due: float = 0.0  # no try before this, unless it is a probe
    uncertain_until: float = 0.0
    failing_since: float = 0.0
    failing_at_opening: int = -1  # how often the breaker had opened when it began to fail
    is_deferred: bool = False  # kept safe apart, or on its way there: the commit may pass it
    is_ended: bool = False  # its end is noted, or on its way there
    probe_round: int = -1  # the round of probes in which it had its turn
    waiting: int = -1  # its place in the retry queue, -1: not in it
    is_retry: bool = False  # holds one of the slots that retries may have
    is_probe: bool = False  # out to learn whether the channel is back
    # How often the breaker had opened, and how many others had gone through, when the channel
    # last failed for this message while the breaker was closed.
    failed_at_opening: int = -1
    failed_at_success: int = 0

    @property
    def offset(self) -> int:
        return self.record.offset
