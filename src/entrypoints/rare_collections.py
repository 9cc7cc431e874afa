"""How often Python looks for garbage in circles: there is little, and looking costs a server a tenth."""

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

# What is alive while 64 requests wait is more than Python's 700: it would be looked through again and again.
# Circles, such as an exception's traceback, wait in memory for so many new objects, some megabytes.
YOUNG_OBJECTS = 20_000


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Within it the collector passes over what is there at its beginning, and comes less often."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def end_with(main: Callable[[], int]) -> NoReturn:
    """Runs a whole program and ends the process with its exit code.

    What is imported and built from here on lives until the end: Python seldom looks through it on the way,
    and not several times more when it ends. It does look once at what was made last: the error of a task
    that nobody waited for is still told.
    """
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        code = main()
    finally:
        gc.collect(1)
        gc.freeze()
    sys.exit(code)
