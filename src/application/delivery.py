"""One message on its way to the provider, and the shard it came from."""

from dataclasses import dataclass, field

from application.offsets import OffsetTracker
from domain.message import Message
from domain.ports import Record, Shard

LaneKey = tuple[Shard, bytes]


class ShardState:
    """What a consumer process holds of one shard while the shard is its own."""

    __slots__ = ("begun", "committed", "end", "held", "held_bytes", "offsets", "shard", "trouble", "yielding")

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.offsets = OffsetTracker(0)
        self.committed = 0
        self.end = 0  # the log's end when it was last asked
        self.held = 0
        self.held_bytes = 0
        self.begun = False
        self.yielding = False  # being taken away: what fails now is left for the next owner
        self.trouble: str | None = None  # why the shard is not read; a person has to look

    def begin(self, offset: int) -> None:
        self.offsets = OffsetTracker(offset)
        self.committed = offset
        self.begun = True


@dataclass(slots=True, eq=False)
class Delivery:
    """A record that is held in memory until it is finished. Mutable: it lives in one process only.

    `failures` counts all failed tries in a row, for the backoff; `attempts` only those that were the
    message's own fault; `uncertain` those whose answer was lost. Times are the clock's monotonic ones.
    """

    record: Record
    message: Message
    shard: ShardState
    lane: LaneKey | None
    size: int
    attempts: int = 0
    uncertain: int = 0
    failures: int = 0
    uncertain_until: float = 0.0
    probe_round: int = -1  # the round of probes in which it had its turn
    waiting: int = -1  # its place in the retry queue, -1: not in it
    is_retry: bool = False  # holds one of the slots that retries may have
    # How often the breaker had opened, and how many others had gone through, when the channel
    # last failed for this message while the breaker was closed.
    failed_at_opening: int = field(default=-1)
    failed_at_success: int = 0
