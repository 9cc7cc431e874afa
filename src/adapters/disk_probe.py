"""How much room there is where Herald writes, and whether it may write there."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.one_off_thread import in_thread
from domain.diagnosis import Finding, Seen, ok, warning, wrong

_NAME = "disk"
_MIB, _GIB = 2**20, 2**30
WARN_BYTES, WARN_SHARE = _GIB, 0.05
WRONG_BYTES = 100 * _MIB
WARN_FILES = 1000


@dataclass(frozen=True, slots=True)
class Room:
    """What a file system has left. `files`: None where it counts none."""

    free: int
    total: int
    files: int | None = None


def room_of(folder: Path) -> Room:
    """What this user may still use. Raises OSError."""
    found = os.statvfs(folder)
    files = found.f_favail if found.f_files else None
    return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, files)


class DiskProbe:
    """`places`: what is kept where, such as "the log" and its folder, which need not exist yet."""

    def __init__(self, places: Mapping[str, Path], room: Callable[[Path], Room] = room_of) -> None:
        self._places = places
        self._room = room

    async def look(self) -> Seen:
        return Seen(tuple(await in_thread("disk probe", lambda: list(self._findings()))))

    def _findings(self) -> Iterator[Finding]:
        """Two folders on one disk are one finding."""
        disks: dict[int, tuple[Path, list[str]]] = {}
        for what, place in self._places.items():
            folder = _existing(place)
            if os.access(folder, os.W_OK | os.X_OK):
                disks.setdefault(folder.stat().st_dev, (folder, []))[1].append(what)
            else:
                yield _shut(folder, what)
        for folder, whats in disks.values():
            yield self._finding(folder, " and ".join(whats))

    def _finding(self, folder: Path, what: str) -> Finding:
        try:
            room = self._room(folder)
        except OSError as error:
            return wrong(_NAME, f"{folder} for {what} cannot be looked at: {error.strerror}", "mend the disk")
        says = f"{_size(room.free)} of {_size(room.total)} free for {what} at {folder}"
        if room.files is not None and room.files < WARN_FILES:
            return warning(_NAME, f"{says}, but room for {room.files} files only", "delete files there")
        if room.free < WRONG_BYTES:
            return wrong(_NAME, f"only {says}", "make room before the log cannot be written any more")
        if room.free < WARN_BYTES or room.free < WARN_SHARE * room.total:
            return warning(_NAME, f"only {says}", "make room, or move it to a larger disk")
        return ok(_NAME, says)


def _shut(folder: Path, what: str) -> Finding:
    says = f"{folder} for {what} cannot be written by this user"
    return wrong(_NAME, says, "run as the user Herald runs as, or give the folder to that user")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    whole = folder.absolute()
    above: Sequence[Path] = (whole, *whole.parents)
    return next((one for one in above if one.exists()), above[-1])


def _size(number: int) -> str:
    return f"{number / _GIB:.1f} GiB" if number >= _GIB else f"{number / _MIB:.0f} MiB"
