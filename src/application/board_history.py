"""The last hour in steps: a bounded memory of what the board showed."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STEP_SECONDS = 10
STEPS = 360


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStep:
    """None: not measured then."""

    rate_out: float | None = None
    lag: int | None = None
    deferred: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicStep:
    """One topic in one step. `groups` by name."""

    rate_in: float | None = None
    groups: Mapping[str, GroupStep] = field(default_factory=dict)


NOTHING = TopicStep()
Step = Mapping[str, TopicStep]
"""By topic."""


class History:
    """Steps are numbered from the epoch on; those between that were missed are there, and empty.

    `changes`: how often something was added.
    """

    def __init__(self) -> None:
        self._steps: deque[Step] = deque(maxlen=STEPS)
        self._newest = 0
        self.changes = 0

    def add(self, at: float, step: Step) -> None:
        """Again in the same step it takes the place of what was there.

        A clock may be set back: what was measured after that moment is forgotten, for it would stand twice.
        """
        number = int(at // STEP_SECONDS)
        while self._steps and self._newest >= number:
            self._steps.pop()
            self._newest -= 1
        missed = min(number - self._newest - 1, STEPS) if self._steps else 0
        self._steps.extend({} for _ in range(missed))
        self._steps.append(step)
        self._newest = number
        self.changes += 1

    def as_it_is(self) -> "History":
        """A copy that does not change, for another thread."""
        copy = History()
        copy._steps, copy._newest = self._steps.copy(), self._newest
        return copy

    @property
    def ends_at(self) -> float | None:
        """When the newest step began, in epoch seconds; None: there is none."""
        return float(self._newest * STEP_SECONDS) if self._steps else None

    def of(self, topic: str) -> Sequence[TopicStep]:
        """Oldest first."""
        return [step.get(topic, NOTHING) for step in self._steps]
