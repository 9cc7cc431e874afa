"""The signals that ask a process to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and a closed terminal call `stop`; `nohup` keeps its meaning.

    After the first only Ctrl-C calls it again, for a person in a hurry. SIGTERM comes twice without one:
    `timeout` sends it to a process and its group; systemd to parent and child, and the parent passes it on.
    """
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    is_asked = False

    def heard(number: signal.Signals) -> None:
        nonlocal is_asked
        is_first, is_asked = not is_asked, True
        if is_first or number is signal.SIGINT:
            stop()

    for number in numbers:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
