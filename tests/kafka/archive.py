"""Kafka's classes as the JVM has them in memory, made once: nodes that start from them take half the CPU."""

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path

from tests.kafka.jars import JARS, POM


def class_archive(make: Callable[[Path], None]) -> tuple[str, ...]:
    """The JVM's options for the archive; none where it could not be made.

    `make`: writes it to a file, or writes none. It is asked once for each set of jars, by one process while
    the others wait. A JVM that an archive does not fit starts without it by itself.
    """
    file = JARS / f"classes-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}.jsa"
    with (JARS / "archive-lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            unfinished = file.with_suffix(".unfinished")
            make(unfinished)
            unfinished.touch()  # what failed once is not tried before each node
            unfinished.rename(file)
    return (f"-XX:SharedArchiveFile={file}", "-Xshare:auto") if file.stat().st_size else ()
