"""Ids for requests that came without one."""

from collections.abc import Callable

from domain.ports import Clock

_COUNTERS = tuple(f"{number:03x}" for number in range(1 << 12))
_COUNTER_SEEDS = 1 << 11
# The variant's two bits, 10, and two random ones (RFC 9562, 4.1).
_VARIANT = {digit: f"{0b1000 | int(digit, 16) & 0b11:x}" for digit in "0123456789abcdef"}


class RequestIds:
    """UUIDs of version 7 (RFC 9562, 5.7): rising within a process also when the clock stands or goes back.

    The 12 bits behind the time are a counter (RFC 9562, 6.2, method 1), begun at random in its lower half.
    `random_digits` gives 16 random hexadecimal digits each time.
    """

    def __init__(self, clock: Clock, random_digits: Callable[[], str]) -> None:
        self._clock = clock
        self._random_digits = random_digits
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
            if self._counter == len(_COUNTERS):
                self._begin(self._milliseconds + 1)
        digits = self._random_digits()
        return f"{self._time}{_COUNTERS[self._counter]}-{_VARIANT[digits[0]]}{digits[1:4]}-{digits[4:]}"

    def _begin(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self._counter = int(self._random_digits(), 16) % _COUNTER_SEEDS
        time = f"{milliseconds:012x}"
        self._time = f"{time[:8]}-{time[8:]}-7"
