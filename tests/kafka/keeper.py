"""Runs one command and outlives nobody: it is killed when no process holds the lifeline any more.

    python keeper.py LIFELINE DIRECTORY COMMAND...

Whoever needs the command holds a shared `flock` on the file LIFELINE. The kernel drops the lock when
its holder dies, however it dies; then the command is killed and DIRECTORY is removed. SIGTERM ends the
command gracefully and SIGUSR1 kills it; both leave DIRECTORY, so that it can be started again.
"""

import fcntl
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path


def main(lifeline: str, directory: str, *command: str) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGUSR1, lambda *_: child.kill())
    abandoned = threading.Event()
    threading.Thread(target=_wait_for_the_last, args=(lifeline, child, abandoned), daemon=True).start()
    code = child.wait()
    if abandoned.is_set():
        shutil.rmtree(directory, ignore_errors=True)
    return code


def _wait_for_the_last(lifeline: str, child: subprocess.Popen[bytes], abandoned: threading.Event) -> None:
    with Path(lifeline).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        abandoned.set()
        child.kill()
        child.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
