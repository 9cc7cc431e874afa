"""Ids for requests that came without one."""

from collections.abc import Callable

from domain.ports import Clock

_COUNTER_LIMIT = 1 << 12
_COUNTER_SEED_BITS = 11
_VARIANT = 0b10 << 62
_TAIL_BITS = 62
_LAST_GROUP_BITS = 48
_LAST_GROUP = (1 << _LAST_GROUP_BITS) - 1


class RequestIds:
    """UUIDs of version 7 (RFC 9562, 5.7): rising within a process also when the clock stands or goes back.

    The 12 bits behind the time are a counter (RFC 9562, 6.2, method 1), begun at random in its lower half.
    """

    def __init__(self, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._milliseconds = 0
        self._counter = 0
        self._time = ""

    def __call__(self) -> str:
        """The next id, in the usual form with hyphens."""
        milliseconds = int(self._clock.now() * 1000)
        if milliseconds > self._milliseconds:
            self._begin(milliseconds)
        else:
            self._counter += 1
            if self._counter == _COUNTER_LIMIT:
                self._begin(self._milliseconds + 1)
        tail = _VARIANT | self._random_bits(_TAIL_BITS)
        return f"{self._time}-7{self._counter:03x}-{tail >> _LAST_GROUP_BITS:x}-{tail & _LAST_GROUP:012x}"

    def _begin(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self._counter = self._random_bits(_COUNTER_SEED_BITS)
        time = f"{milliseconds:012x}"
        self._time = f"{time[:8]}-{time[8:]}"
