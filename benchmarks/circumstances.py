"""Where and when a run was: machine, versions, date, commit."""

import contextlib
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LIBRARIES = ("aiokafka", "aiosmtplib", "httptools", "httpx", "litestar", "msgspec", "uvicorn")


def circumstances() -> dict[str, str]:
    """The peers' versions stand in their lock files, which are of the same commit."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _commit(),
    }


def in_a_line(run: Mapping[str, str]) -> str:
    return ", ".join(
        [*(run[name] for name in ("machine", "python", "system", "date")), f"commit {run['commit']}"]
    )


def _commit() -> str:
    changed = _git("status", "--porcelain", "src", "containers.py")
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + " with uncommitted changes" * bool(changed)


def _git(*arguments: str) -> str:
    """What it says; nothing where there is no git, or no repository."""
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()
    return ""


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()
