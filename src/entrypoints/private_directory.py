"""A directory for what the processes of one API share with each other and nobody else."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LONGEST_TEMPORARY = 60  # of the 104 bytes that macOS has for a Unix socket's path


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """Only this user can enter it, and its path leaves room for a Unix socket's name."""
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= _LONGEST_TEMPORARY else "/tmp"  # noqa: S108 - the directory itself is private
    with tempfile.TemporaryDirectory(prefix="herald-", dir=place, ignore_cleanup_errors=True) as directory:
        yield Path(directory)
