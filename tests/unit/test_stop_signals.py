import asyncio
import signal
from collections.abc import Sequence

import pytest

from entrypoints.stop_signals import stopping_on_signals


async def stops_of(numbers: Sequence[signal.Signals]) -> int:
    """How often these signals, one after the other, ask this process to stop."""
    stops: list[None] = []
    loop, all_told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, all_told.set)
    with stopping_on_signals(lambda: stops.append(None)):
        for number in [*numbers, signal.SIGUSR1]:
            # The loop is told of each in turn.
            signal.raise_signal(number)
        await all_told.wait()
    loop.remove_signal_handler(signal.SIGUSR1)
    return len(stops)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_each_of_the_signals_asks_to_stop(number: signal.Signals) -> None:
    assert await stops_of([number]) == 1


@pytest.mark.parametrize(
    "numbers", [[signal.SIGTERM] * 3, [signal.SIGINT, signal.SIGTERM], [signal.SIGHUP, signal.SIGTERM]]
)
async def test_a_stop_that_is_told_by_several_is_one_stop(numbers: list[signal.Signals]) -> None:
    assert await stops_of(numbers) == 1


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_again_asks_again(first: signal.Signals) -> None:
    assert await stops_of([first, signal.SIGINT]) == 2
