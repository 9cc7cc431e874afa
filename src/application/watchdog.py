"""Tells a process that stands still from one that has nothing to do."""

from collections.abc import Collection, Hashable


class Watchdog:
    """Stalled: for `seconds` something did not move though there was work and an open way to it.

    Nothing is stalled before somebody has looked: the log may be away for long before that.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[Hashable, tuple[int, float]] = {}  # what moved how far, and since when it stands

    def look(self, what: Hashable, now: float, moved: int, *, has_work: bool) -> None:
        """`moved` is any number that changes with whatever gets on."""
        seen = self._seen.get(what)
        if seen is None or seen[0] != moved or not has_work:
            self._seen[what] = (moved, now)

    def keep_only(self, known: Collection[Hashable]) -> None:
        """Forgets what is not ours any more."""
        self._seen = {what: seen for what, seen in self._seen.items() if what in known}

    def stalled(self, now: float) -> bool:
        return any(now - since >= self._seconds for _, since in self._seen.values())
