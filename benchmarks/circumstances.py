"""Where and when a run was: machine, versions, date, commit."""

import contextlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]


def circumstances() -> str:
    return (
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" {platform.system()} {platform.release()}, {datetime.now(UTC):%Y-%m-%d}, commit {_commit()}"
    )


def _commit() -> str:
    changed = _git("status", "--porcelain", "src", "containers.py")
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + " with uncommitted changes" * bool(changed)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()
