import subprocess
import sys
from pathlib import Path

from adapters.random_digits import RandomDigits

SOURCES = Path(__file__).parents[2] / "src"
# In a process of its own: a fork takes no threads along, and pytest's workers have some.
FORK = """
import os
from adapters.random_digits import RandomDigits

digits = RandomDigits()
digits()  # now more are read ahead
child = os.fork()
print(*(digits() for _ in range(100)), flush=True)
if child:
    os.waitpid(child, 0)
"""


def test_it_gives_sixteen_digits_at_a_time() -> None:
    digits = RandomDigits()
    given = [digits() for _ in range(1000)]

    assert {len(one) for one in given} == {16}
    assert set("".join(given)) == set("0123456789abcdef")


def test_none_are_given_twice() -> None:
    digits = RandomDigits()

    assert len({digits() for _ in range(10_000)}) == 10_000


def test_a_forked_process_goes_on_with_words_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], check=True, capture_output=True, env={"PYTHONPATH": str(SOURCES)}
    )
    given = done.stdout.split()

    assert (len(given), len(set(given))) == (200, 200)
