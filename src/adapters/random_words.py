"""Random numbers of the operating system, read ahead: asking it for each one costs a system call."""

import os
import struct

_WORDS = 256
_unpack = struct.Struct(f"={_WORDS}Q").unpack
_WORD_BITS = 64


class RandomWords:
    """Called with a number of bits, at most 64, it gives so many. A forked process draws its own."""

    def __init__(self) -> None:
        self._words: list[int] = []
        os.register_at_fork(after_in_child=self._words.clear)

    def __call__(self, bits: int) -> int:
        if not self._words:
            self._words += _unpack(os.urandom(_WORDS * _WORD_BITS // 8))
        return self._words.pop() >> (_WORD_BITS - bits)
