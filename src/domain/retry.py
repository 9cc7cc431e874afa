"""How long to wait before a message is tried again, and when to give up."""

from collections.abc import Callable
from dataclasses import dataclass

Jitter = Callable[[], float]
"""A draw from [0, 1). Randomness is passed in, so that a schedule can be replayed."""

_LARGEST_EXPONENT = 62  # 2.0 ** 62 seconds is past any setting, and still a plain float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential waits in seconds, each drawn between half and all of its step.

    `uncertain_waits` are for a message whose answer was lost: the last one holds for all later tries. One
    that fails for `defer_after_seconds` on its own account is kept apart, so that the others' position moves.
    """

    first_seconds: float = 1.0
    max_seconds: float = 3600.0
    max_attempts: int = 50
    max_uncertain: int = 3
    uncertain_waits: tuple[float, ...] = (60.0, 600.0, 3600.0)
    defer_after_seconds: float = 60.0

    def wait(self, failures: int, jitter: float, at_least: float = 0.0) -> float:
        """Seconds to wait after the `failures`th failure in a row (1 is the first)."""
        step = self.first_seconds * 2.0 ** min(failures - 1, _LARGEST_EXPONENT)
        return max(at_least, min(step, self.max_seconds) * (0.5 + jitter / 2))

    def uncertain_wait(self, uncertain: int) -> float:
        """Seconds to wait at least after the `uncertain`th lost answer (1 is the first)."""
        return self.uncertain_waits[min(uncertain, len(self.uncertain_waits)) - 1]

    @property
    def longest_wait(self) -> float:
        """Seconds; nobody waits longer for anything that one try could tell."""
        return max(self.max_seconds, *self.uncertain_waits)

    def is_spent(self, attempts: int) -> bool:
        """Whether a message that failed so often has had all its attempts."""
        return attempts >= self.max_attempts

    def is_too_uncertain(self, uncertain: int) -> bool:
        """Whether a message whose answer was lost so often must not be sent again."""
        return uncertain > self.max_uncertain
