"""How often Python looks for garbage in circles: a server makes little of it, and looking costs a tenth."""

import contextlib
import gc
from collections.abc import Iterator

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
