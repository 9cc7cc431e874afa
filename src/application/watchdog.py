"""Tells a process that stands still from one that has nothing to do."""


class Watchdog:
    """Stalled: for `seconds` nothing moved though there was work and an open way to it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moved = -1
        self._since: float | None = None  # nobody has looked yet: the log may be away for long before that

    def look(self, now: float, moved: int, *, has_work: bool) -> None:
        """`moved` is any counter that grows with whatever gets on."""
        if moved != self._moved or not has_work:
            self._moved = moved
            self._since = now

    def stalled(self, now: float) -> bool:
        return self._since is not None and now - self._since >= self._seconds
