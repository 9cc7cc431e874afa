"""The API's child that keeps the view of what became of messages, as its parent sees it."""

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

from entrypoints.settings import Loaded
from entrypoints.settings_model import Settings
from entrypoints.supervised_child import ChildSpec

PROGRAM = (sys.executable, "-P", "-m", "entrypoints.status_process")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOrders:
    """What the child is told on its stdin. `file`: where the view is kept.

    `supervisor_fd`: its parent's own link to a supervisor, so that it ends as soon as its parent does.
    """

    loaded: Loaded
    file: Path
    supervisor_fd: int | None


def keeps_status(settings: Settings) -> bool:
    """Whether the log cannot be asked for a message's status, and a view is wanted."""
    return settings.broker.backend == "kafka" and settings.status.hours > 0


def status_file(directory: Path) -> Path:
    return directory / "status.db"


def status_child(orders: StatusOrders) -> ChildSpec:
    fd = orders.supervisor_fd
    return ChildSpec(
        name="status view",
        command=PROGRAM,
        pass_fds=() if fd is None else (fd,),
        stdin=pickle.dumps(orders),
        own_stderr=not orders.loaded.settings.logging.file,
    )
