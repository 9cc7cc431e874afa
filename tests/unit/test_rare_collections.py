import gc
import subprocess
import sys

import pytest

from entrypoints.rare_collections import YOUNG_OBJECTS, rare_collections


def test_what_was_there_before_is_passed_over_and_collections_are_rare() -> None:
    with rare_collections():
        within = (gc.get_freeze_count() > 0, gc.get_threshold()[0])

    assert within == (True, YOUNG_OBJECTS)


def test_afterwards_all_is_as_it_was_also_after_an_error() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="failed"), rare_collections():
        raise ValueError("failed")

    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_a_program_ends_with_its_exit_code_and_leaves_nothing_to_be_looked_through() -> None:
    source = """
import atexit, gc
from entrypoints.rare_collections import end_with

def main():
    made = [[] for _ in range(100)]
    made.append(made)
    return 3

atexit.register(lambda: print(len(gc.get_objects()) < 100, gc.get_threshold()[0]))
end_with(main)
"""
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (3, f"True {YOUNG_OBJECTS}\n"), ended.stderr
