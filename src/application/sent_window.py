"""The ids that a shard's group has sent lately: the same id again is a repeat."""

from array import array


class SentWindow:
    """The last `size` sent messages, each by the hash of its id, with the digest of its value and its time.

    Ids are kept as Python's own 64-bit hash, which is keyed anew in each process: as strings the ids of
    600,000 messages would take twice the memory.
    """

    __slots__ = ("_digests", "_gone", "_hashes", "_positions", "_repeats", "_size", "_times")

    def __init__(self, size: int) -> None:
        self._size = size
        self._digests: dict[int, int] = {}
        self._hashes = array("q")
        self._positions = array("q")
        self._times = array("d")
        self._gone = 0  # how many at the front of the arrays have left the window
        self._repeats: dict[int, int] = {}  # hashes that stand in the window more than once

    def __len__(self) -> int:
        return len(self._hashes) - self._gone

    def add(self, request_id: str, digest: int, position: int, at: float = 0.0) -> None:
        """`position`: where the ledger has it; rises from call to call. `at`: when it was sent."""
        key = hash(request_id)
        if key in self._digests:
            self._repeats[key] = self._repeats.get(key, 0) + 1
        self._digests[key] = digest
        self._hashes.append(key)
        self._positions.append(position)
        self._times.append(at)
        if len(self) > self._size:
            self._drop_oldest()

    def digest(self, request_id: str) -> int | None:
        """The digest of what was sent under this id last, or None if nothing was."""
        return self._digests.get(hash(request_id))

    @property
    def oldest(self) -> int | None:
        """The ledger position of the oldest one in the window."""
        return self._positions[self._gone] if len(self) else None

    def forget_before(self, at: float) -> None:
        """Those that were sent before this time leave the window."""
        while len(self) and self._times[self._gone] < at:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        key = self._hashes[self._gone]
        self._gone += 1
        repeats = self._repeats.pop(key, 0)
        if repeats > 1:
            self._repeats[key] = repeats - 1
        elif not repeats:
            del self._digests[key]
        if self._gone > self._size:
            del self._hashes[: self._gone], self._positions[: self._gone], self._times[: self._gone]
            self._gone = 0
