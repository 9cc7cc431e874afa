"""Whether a SQLite file is still where it was opened."""

import os
from pathlib import Path

from domain.errors import StorageBroken


class Presence:
    """Whether a file is still the one that was opened.

    Somebody may delete or replace it while it is in use; SQLite would go on with a file that nobody can
    find any more, and no restart would find what it holds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._on_disk()

    def check(self) -> None:
        """Raises `StorageBroken`."""
        if self._on_disk() != self._identity:
            raise StorageBroken(f"{self._path} was moved or deleted while in use: restart Herald")

    def is_of(self, descriptor: int) -> bool:
        """Whether it is the file that this descriptor is open on."""
        status = os.fstat(descriptor)
        return self._identity == (status.st_dev, status.st_ino)

    def _on_disk(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino)
