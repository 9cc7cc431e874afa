"""A directory for what the processes of one API share with each other and nobody else."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from domain.errors import HeraldError

_LONGEST_TEMPORARY = 60  # of the 104 bytes that macOS has for a Unix socket's path


@contextlib.contextmanager
def private_directory(temporary: Callable[[], str] = tempfile.gettempdir) -> Iterator[Path]:
    """Only this user can enter it, and its path leaves room for a Unix socket's name.

    `temporary`: where temporary files go. Raises `HeraldError` where nothing can be made there, as in a
    container whose file system may not be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            usual = temporary()
            place = usual if len(usual) <= _LONGEST_TEMPORARY else "/tmp"  # noqa: S108 - what is made is private
            made = tempfile.TemporaryDirectory(prefix="herald-", dir=place, ignore_cleanup_errors=True)
        except OSError as error:
            raise HeraldError(
                f"no temporary folder can be made ({error.strerror}): let /tmp be written, or set TMPDIR"
            ) from error
        yield Path(stack.enter_context(made))
