"""The ids that a shard's group has sent lately: the same id again is a repeat."""

from array import array

_FIRST_BUCKETS = 256  # a power of two, and so are all that follow


class SentWindow:
    """The last `size` sent messages, each by the hash of its id, with the digest of its value and its time.

    Plain arrays, about 50 bytes a message: in a dict the same numbers would take three times the memory. Ids
    are kept as Python's own 64-bit hash, which is keyed anew in each process.

    Entries are counted from 0 on; number `n` lies at place `n % size`, over the one that it drives out. Each
    bucket of hashes names its newest entry, and each entry the next older one of its bucket. A chain ends at
    the first one that has left the window, so none is ever taken out of a chain.
    """

    __slots__ = (
        "_digests",
        "_end",
        "_hashes",
        "_mask",
        "_newest",
        "_older",
        "_oldest",
        "_positions",
        "_size",
        "_times",
    )

    def __init__(self, size: int) -> None:
        self._size = size
        self._oldest = 0  # the window is from this entry on
        self._end = 0  # the next one's number
        self._hashes = array("q")
        self._digests = array("Q")
        self._positions = array("q")
        self._times = array("d")
        self._older = array("q")
        self._newest = array("q", [-1]) * _FIRST_BUCKETS
        self._mask = _FIRST_BUCKETS - 1

    def __len__(self) -> int:
        return self._end - self._oldest

    def add(self, request_id: str, digest: int, position: int, at: float = 0.0) -> None:
        """`position`: where the ledger has it; rises from call to call. `at`: when it was sent."""
        if not self._size:
            return
        entry = self._end
        if entry - self._oldest == self._size:
            self._oldest += 1
        place = entry % self._size
        if place == len(self._hashes):
            self._grow()
        self._hashes[place] = key = hash(request_id)
        self._digests[place] = digest
        self._positions[place] = position
        self._times[place] = at
        self._older[place] = self._newest[key & self._mask]
        self._newest[key & self._mask] = entry
        self._end = entry + 1

    def digest(self, request_id: str) -> int | None:
        """The digest of what was sent under this id last, or None if nothing was."""
        key = hash(request_id)
        entry = self._newest[key & self._mask]
        while entry >= self._oldest:
            place = entry % self._size
            if self._hashes[place] == key:
                return self._digests[place]
            entry = self._older[place]
        return None

    @property
    def oldest(self) -> int | None:
        """The ledger position of the oldest one in the window."""
        return self._positions[self._oldest % self._size] if len(self) else None

    def forget_before(self, at: float) -> None:
        """Those that were sent before this time leave the window."""
        while len(self) and self._times[self._oldest % self._size] < at:
            self._oldest += 1

    def _grow(self) -> None:
        """Room for an eighth more, as a list grows; twice the buckets where there are as many entries."""
        room = len(self._hashes)
        more = min(max(_FIRST_BUCKETS, room // 8), self._size - room)
        for column in (self._hashes, self._digests, self._positions, self._times, self._older):
            column.frombytes(bytes(more * column.itemsize))  # zeros, of whatever kind
        if len(self._hashes) > len(self._newest):
            self._chain_anew(2 * len(self._newest))

    def _chain_anew(self, buckets: int) -> None:
        self._newest = array("q", [-1]) * buckets
        self._mask = buckets - 1
        for entry in range(self._oldest, self._end):
            place = entry % self._size
            bucket = self._hashes[place] & self._mask
            self._older[place] = self._newest[bucket]
            self._newest[bucket] = entry
