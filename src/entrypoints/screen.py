"""Where a person looks while Herald runs."""

import contextlib
import sys


def tell(line: str) -> None:
    """One whole line on stderr; a terminal that has gone is no reason to stop."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
