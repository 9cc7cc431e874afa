"""What each consumer process says of itself, so that others can see it: the board, and `herald doctor`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

_LONGEST_PREFIX = 200  # characters; Kafka allows a topic 249


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceTimes:
    """Seconds. `tell`: how often a process tells how it stands.

    A change of its channel or of its partitions it tells at once. `gone`: who told nothing for so long is
    taken for gone.
    """

    tell: float = 5.0
    gone: float = 20.0

    def is_there(self, told_at: float, now: float) -> bool:
        """Also of a moment that is not yet: clocks differ by a few seconds, and may be set back."""
        return abs(now - told_at) <= self.gone


USUAL_TIMES = PresenceTimes()


def presence_topic(group_prefix: str) -> str:
    """Where the processes of one installation tell of themselves, on a log that keeps it in a topic.

    A group's name may have characters that a topic's may not, and may be longer; two installations whose
    names differ in those alone do not meet either.
    """
    fitting = re.sub(r"[^A-Za-z0-9._-]", "_", group_prefix)[:_LONGEST_PREFIX]
    apart = "" if fitting == group_prefix else f"{crc32(group_prefix.encode()):08x}-"
    return f"{fitting}{apart}presence"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """Whether the channel works for one process. `since`: when that began, in epoch seconds.

    `reason`: why it does not, without an address; empty while it works.
    """

    up: bool
    since: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicWork:
    """What a process does for one topic. `partitions`: how many it has now.

    `outcomes`: what came of messages and tries since it started (sent, dead, expired, skipped, repeated,
    retried, uncertain).
    """

    topic: str
    partitions: int
    outcomes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """How one consumer process stands. Times in epoch seconds; `at`: when it said so.

    `process`: its name, never given to another one. `waiting`: why it does nothing now, such as standing by
    or a log that does not answer; empty while it works.
    """

    process: str
    group: str
    host: str
    pid: int
    version: str
    started_at: float
    at: float
    channel: ChannelState
    in_flight: int
    topics: tuple[TopicWork, ...]
    waiting: str = ""
