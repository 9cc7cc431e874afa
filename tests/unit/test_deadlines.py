import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from adapters.deadlines import Deadlines
from tests.simulation.virtual_time import run_in_virtual_time


class Late:
    """Who was late, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []
        self.deadlines: Deadlines[str] = Deadlines(8.0, self._note)

    def _note(self, waiter: str) -> None:
        self.told.append((waiter, asyncio.get_running_loop().time()))


def told_in(story: Callable[[Deadlines[str]], Coroutine[Any, Any, None]]) -> list[tuple[str, float]]:
    late = Late()

    async def run() -> None:
        await story(late.deadlines)
        await asyncio.sleep(100)

    run_in_virtual_time(run())
    return late.told


def test_each_waiter_is_late_when_its_own_time_is_over() -> None:
    async def story(deadlines: Deadlines[str]) -> None:
        deadlines.add("a")
        await asyncio.sleep(3)
        deadlines.add("b")
        deadlines.add("c")

    assert told_in(story) == [("a", 8.0), ("b", 11.0), ("c", 11.0)]


def test_who_is_dropped_in_time_is_never_late_and_delays_nobody() -> None:
    async def story(deadlines: Deadlines[str]) -> None:
        deadlines.add("a")
        await asyncio.sleep(1)
        deadlines.add("b")
        deadlines.add("c")
        await asyncio.sleep(1)
        deadlines.drop("a")
        deadlines.drop("b")

    assert told_in(story) == [("c", 9.0)]


def test_after_a_time_without_anybody_it_begins_anew() -> None:
    async def story(deadlines: Deadlines[str]) -> None:
        deadlines.add("a")
        deadlines.drop("a")
        await asyncio.sleep(20)
        deadlines.add("b")

    assert told_in(story) == [("b", 28.0)]


def test_dropping_somebody_who_was_late_changes_nothing() -> None:
    async def story(deadlines: Deadlines[str]) -> None:
        deadlines.add("a")
        await asyncio.sleep(9)
        deadlines.drop("a")

    assert told_in(story) == [("a", 8.0)]


def test_after_closing_nobody_is_late() -> None:
    async def story(deadlines: Deadlines[str]) -> None:
        deadlines.add("a")
        deadlines.close()

    assert told_in(story) == []
