"""When a child process that ended is started again."""

from domain.retry import RetryPolicy


class Restarts:
    """The pauses of one child: growing while it ends soon after each start, short again once it lived.

    Plain state; `now` is any clock in seconds that never goes back.
    """

    def __init__(self, policy: RetryPolicy, steady_seconds: float) -> None:
        self._policy = policy
        self._steady_seconds = steady_seconds
        self._started_at = 0.0
        self._ends = 0

    def started(self, now: float) -> None:
        self._started_at = now

    def ended(self, now: float, jitter: float) -> float:
        """Seconds to wait before the next start. `jitter`: a draw from [0, 1)."""
        if now - self._started_at >= self._steady_seconds:
            self._ends = 0
        self._ends += 1
        return self._policy.wait(self._ends, jitter)
