"""Ids for requests that came without one."""

from collections.abc import Callable

from domain.ports import Clock

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_TIME_SHIFT = 80
_COUNTER_SHIFT = 64
_COUNTER_LIMIT = 1 << 12
_COUNTER_SEED_BITS = 11
_TAIL_BITS = 62


class RequestIds:
    """UUIDs of version 7 (RFC 9562, 5.7): rising within a process also when the clock stands or goes back.

    The 12 bits behind the time are a counter (RFC 9562, 6.2, method 1), begun at random in its lower half.
    """

    def __init__(self, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._milliseconds = 0
        self._counter = 0

    def __call__(self) -> str:
        """The next id, in the usual form with hyphens."""
        milliseconds = int(self._clock.now() * 1000)
        if milliseconds > self._milliseconds:
            self._begin(milliseconds)
        else:
            self._counter += 1
            if self._counter == _COUNTER_LIMIT:
                self._begin(self._milliseconds + 1)
        number = self._milliseconds << _TIME_SHIFT | _VERSION_7 | self._counter << _COUNTER_SHIFT
        text = f"{number | _VARIANT | self._random_bits(_TAIL_BITS):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _begin(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self._counter = self._random_bits(_COUNTER_SEED_BITS)
