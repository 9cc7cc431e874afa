"""Random digits of the operating system, read ahead: asking it for each id costs a system call."""

import os

_DIGITS = 16  # 64 bits
_IDS = 256


class RandomDigits:
    """Each call gives 16 hexadecimal digits. A forked process draws its own."""

    def __init__(self) -> None:
        self._ahead: list[str] = []
        os.register_at_fork(after_in_child=self._ahead.clear)

    def __call__(self) -> str:
        if not self._ahead:
            digits = os.urandom(_IDS * _DIGITS // 2).hex()
            self._ahead += [digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)]
        return self._ahead.pop()
