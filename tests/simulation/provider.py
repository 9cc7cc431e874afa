"""The provider of a history: how it answers, when, and all that it was ever asked."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain

if TYPE_CHECKING:
    from tests.simulation.process import Process

Content = tuple[str, str]
"""What makes a message one and the same for the customer: its request_id and its body."""

STEADY = (10, 0, 0, 0, 0)
MOODS: Sequence[Sequence[int]] = (
    # Delivered, TryAgain, Refused, ChannelDown, Uncertain
    STEADY,
    (5, 3, 1, 1, 1),
    (0, 0, 0, 1, 0),
    (0, 0, 1, 0, 0),
    (0, 1, 0, 0, 0),
    (1, 0, 0, 0, 1),
    (2, 0, 0, 0, 3),
)
DOWN_FOR_ALL = (0, 0, 0, 1, 0)


@dataclass(eq=False, slots=True)
class Try:
    """One send, as the provider saw it and as its process heard of it."""

    process: "Process"
    content: Content
    at: float
    outcome: Outcome | None = None
    answered: float | None = None  # when its process had the answer
    accepted: bool = False  # whether the customer has it
    in_outage: bool = False
    cut: bool = False  # its process did not wait for the answer
    recorded: bool = False  # its process noted something of it afterwards
    excuse: str = ""  # why nothing had to be noted

    @property
    def costs_an_attempt(self) -> bool:
        """Whether it may be held against the message at all."""
        return isinstance(self.outcome, TryAgain | Refused | ChannelDown) and not self.in_outage


@dataclass
class Provider:
    """Answers by the mood it is in. What it says to a message's nth try depends on nothing else."""

    seed: int
    now: Callable[[], float]
    weights: Sequence[int] = STEADY
    failing: frozenset[str] = frozenset()  # keys whose customer is refused for now
    asks_to_wait: float = 0.0  # seconds, of those: greylisting asks for minutes
    asks_all_to_wait: float = 0.0  # seconds, while it is down
    latencies: Sequence[float] = (0.0, 0.0, 0.2, 4.0)
    tries: list[Try] = field(default_factory=list)
    by_content: dict[Content, list[Try]] = field(default_factory=dict)
    hanging: asyncio.Event | None = None

    def chance(self, content: Content, what: str) -> float:
        """A number below 1 that is drawn for this try of this message alone."""
        count = len(self.by_content.get(content, ()))
        drawn = blake2b(f"{self.seed} {content} {count} {what}".encode(), digest_size=4)
        return int.from_bytes(drawn.digest(), "big") / 2**32

    def begin(self, process: "Process", message: Message) -> Try:
        content = (message.request_id, message.message_body or "")
        attempt = Try(process, content, self.now())
        self.tries.append(attempt)
        self.by_content.setdefault(content, []).append(attempt)
        return attempt

    async def answer(self, attempt: Try, message: Message) -> Outcome:
        """Takes its time. What a customer gets is decided when the answer leaves."""
        which = int(self.chance(attempt.content, "latency") * len(self.latencies))
        if latency := self.latencies[which]:
            await asyncio.sleep(latency)
        while self.hanging is not None:
            await self.hanging.wait()
        outcome = self._outcome(attempt, message)
        attempt.outcome = outcome
        attempt.in_outage = self.weights == DOWN_FOR_ALL
        attempt.accepted = isinstance(outcome, Delivered) or (
            isinstance(outcome, Uncertain) and self.chance(attempt.content, "accepted") < 0.5
        )
        return outcome

    def _outcome(self, attempt: Try, message: Message) -> Outcome:
        if message.key in self.failing and self.weights == STEADY:
            return TryAgain("451", after=self.asks_to_wait)
        draw = self.chance(attempt.content, "outcome") * sum(self.weights)
        outcomes: tuple[Outcome, ...] = (
            Delivered(),
            TryAgain("451"),
            Refused("550"),
            ChannelDown("421", after=self.asks_all_to_wait),
            Uncertain("lost"),
        )
        for weight, outcome in zip(self.weights, outcomes, strict=True):
            if (draw := draw - weight) < 0:
                return outcome
        return Delivered()

    def mood(self, weights: Sequence[int], *, hangs: bool) -> None:
        if self.hanging is not None:
            self.hanging.set()
        self.weights = weights
        self.hanging = asyncio.Event() if hangs else None

    def accepted(self, content: Content) -> list[Try]:
        return [attempt for attempt in self.by_content.get(content, ()) if attempt.accepted]
