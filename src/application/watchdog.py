"""Tells a process that stands still from one that has nothing to do."""


class Watchdog:
    """Stalled: for `seconds` nothing moved though there was work and an open way to it."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._moved = -1
        self._since = now

    def look(self, now: float, moved: int, *, has_work: bool) -> None:
        """`moved` is any counter that grows with whatever gets on."""
        if moved != self._moved or not has_work:
            self._moved = moved
            self._since = now

    def stalled(self, now: float) -> bool:
        return now - self._since >= self._seconds
