"""How a delivery engine stands at one moment: what cannot be counted in passing."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLag:
    """One partition that this process has: the log's next offset, and the group's next one to read.

    `deferred`: messages below or above that which are put off.
    """

    topic: str
    partition: int
    end: int
    committed: int
    deferred: int = 0

    @property
    def lag(self) -> int:
        """Messages not yet committed; retention may have put the commit beyond what was seen of the end."""
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySnapshot:
    """Of one consumer process. `oldest_unfinished`: seconds since the log took it, by topic; 0: none.

    `log_up`: it answered when it was asked last. `retention_used`: how much of its topic's retention the
    oldest one has used that is not put off; at 1 the log may delete it.
    """

    group: str
    in_flight: int
    channel_up: bool
    lags: tuple[ShardLag, ...]
    oldest_unfinished: Mapping[str, float]
    log_up: bool = True
    retention_used: Mapping[str, float] = field(default_factory=dict)
