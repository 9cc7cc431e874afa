import subprocess
import sys
from pathlib import Path

from adapters.random_words import RandomWords

SOURCES = Path(__file__).parents[2] / "src"
# In a process of its own: a fork takes no threads along, and pytest's workers have some.
FORK = """
import os
from adapters.random_words import RandomWords

bits = RandomWords()
bits(64)  # now more are read ahead
child = os.fork()
print(*(bits(64) for _ in range(100)), flush=True)
if child:
    os.waitpid(child, 0)
"""


def test_it_gives_as_many_bits_as_are_asked_for() -> None:
    bits = RandomWords()
    longest = [max(bits(size).bit_length() for _ in range(1000)) for size in (1, 11, 62, 64)]

    assert longest == [1, 11, 62, 64]


def test_no_two_words_are_the_same() -> None:
    bits = RandomWords()

    assert len({bits(64) for _ in range(10_000)}) == 10_000


def test_a_forked_process_goes_on_with_words_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], check=True, capture_output=True, env={"PYTHONPATH": str(SOURCES)}
    )
    words = done.stdout.split()

    assert (len(words), len(set(words))) == (200, 200)
