"""Where a person looks while Herald runs."""

import contextlib
import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterator


def tell(line: str) -> None:
    """One whole line on stderr; a terminal that has gone is no reason to stop."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def can_ask() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def printable(text: str) -> str:
    """The text with what a terminal might obey written out: a foreign producer may have put it there."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def who() -> str:
    """The user and the machine, for a note of who did something."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextlib.contextmanager
def progress_bar(total: int, doing: str) -> Iterator[Callable[[int], None]]:
    """On a terminal a bar on stderr; elsewhere nothing. It is told how much is done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe needs none
    from rich.progress import Progress  # noqa: PLC0415 - see above

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda done: progress.update(task, completed=done)
