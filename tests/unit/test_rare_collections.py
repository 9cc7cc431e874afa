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
    ended = run(source)

    assert (ended.returncode, ended.stdout) == (3, f"True {YOUNG_OBJECTS}\n"), ended.stderr


@pytest.mark.parametrize(
    ("end", "code", "told"), [("raise SystemExit(4)", 4, ""), ("raise ValueError('x')", 1, "ValueError: x")]
)
def test_an_error_or_an_early_end_is_what_it_was(end: str, code: int, told: str) -> None:
    ended = run(f"""
from entrypoints.rare_collections import end_with

def main():
    {end}

end_with(main)
""")

    assert (ended.returncode, ended.stderr.strip().splitlines()[-1:]) == (code, [told] if told else [])


def test_the_error_of_a_task_that_nobody_waited_for_is_told_at_the_end() -> None:
    ended = run("""
import asyncio
from entrypoints.rare_collections import end_with

async def fail():
    raise ValueError("in vain")

async def start():
    task = asyncio.create_task(fail())
    circle = [task]
    circle.append(circle)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

def main():
    asyncio.run(start())
    return 0

end_with(main)
""")

    assert (ended.returncode, "ValueError: in vain" in ended.stderr) == (0, True), ended.stderr


def run(source: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
