"""What could not be delivered, as it is kept, looked for and put back."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.log import Record
from domain.outcome import DeadLetterReason

MOST_REPLAYS = 3
"""A message that was put back so often is parked: putting it back again is refused."""

# Headers of a record that was put back into its topic.
FOR_GROUP = "herald-group"  # the one group that takes it; the others finish it silently
REPLAY = "herald-replay"  # the how manieth time
REQUEST_ID = "herald-request-id"  # holds before the one in the value


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What could not be delivered: the original record, why, and after how many tries.

    `failed_at`: seconds since the epoch. `error` carries no address and no number.
    """

    record: Record
    group: str
    reason: DeadLetterReason
    error: str
    attempts: int
    failed_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLetter:
    """A dead letter in the archive. `replays`: how often its message was put back, counting earlier lives.

    `id` names the group and the source (topic, partition, offset), so a letter kept twice is one letter.
    `replayed_at`: when this very letter was put back, in seconds since the epoch; None: it was not.
    """

    id: str
    letter: DeadLetter
    request_id: str
    replays: int = 0
    replayed_at: float | None = None
    replayed_by: str = ""

    @property
    def is_parked(self) -> bool:
        return self.replays >= MOST_REPLAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters are looked for; empty fields do not narrow. Times: of failing, in epoch seconds."""

    group: str = ""
    topic: str = ""
    reason: str = ""
    key: str = ""
    since: float = 0.0
    until: float = float("inf")
    replayed: bool | None = None  # only those that were put back, or only those that were not


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Letters, oldest failure first; `next` is what to give as `after` for more, or empty."""

    letters: Sequence[KeptLetter]
    next: str = ""


def letter_id(letter: DeadLetter) -> str:
    """`{topic}.{group}-{partition}-{offset}`: at most one letter has it."""
    shard = letter.record.shard
    return f"{shard.topic}.{letter.group}-{shard.partition}-{letter.record.offset}"
