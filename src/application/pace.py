"""A cap of tries a second: a bucket that one token drips into at a time."""

SLACK_SECONDS = 0.02
"""Timers are late by about this much: at high rates what they missed may be made up for."""


class Pace:
    """Plain state; `now` is any clock in seconds that never goes back. At 0 a second there is no cap."""

    def __init__(self, per_second: float) -> None:
        self._step = 1.0 / per_second if per_second else 0.0
        self._slack = int(per_second * SLACK_SECONDS) * self._step
        self._next = 0.0  # when a token is there again, if none was left over

    @property
    def is_capped(self) -> bool:
        return self._step > 0.0

    def ready_at(self, now: float) -> float:
        """When the next one may start; `now` if it may now."""
        return max(now, self._next - self._slack)

    def take(self, now: float) -> None:
        """One starts."""
        self._next = max(self._next, now) + self._step

    def give_back(self) -> None:
        """One that was started asked nobody."""
        self._next -= self._step
