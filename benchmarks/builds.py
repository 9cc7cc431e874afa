"""The peers' own programs, built once into `.cache/bench` and again when their sources change."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import venv
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from benchmarks.programs import ensure, program, say

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
_CACHE = ROOT / ".cache" / "bench"
_SECONDS = 600


@cache
def python_peer(name: str) -> Path | None:
    """The Python of a peer's own environment: `peers/NAME/requirements.txt`, locked with hashes."""
    folder = built(PEERS / name, _CACHE, ["requirements.txt"], _environment)
    return folder and folder / "environment" / "bin" / "python"


@cache
def go_peer(name: str) -> Path | None:
    """The program of a peer in Go. `go.sum` says what its modules are, and is never written."""
    folder = built(PEERS / name, _CACHE, ["*.go", "go.mod", "go.sum"], _go) if ensure("go") else None
    return folder and folder / "peer"


@cache
def java_peer(name: str) -> str | None:
    """The class path of a peer in Java: its classes, and what its `pom.xml` names."""
    folder = built(PEERS / name, _CACHE, ["pom.xml", "src/**/*"], _java) if ensure("javac", "mvn") else None
    return None if folder is None else f"{folder}/target/classes:{folder}/target/dependency/*"


Build = Callable[[Path], bool]
"""Builds in a folder that holds a copy of the sources; whether it worked."""


def _environment(folder: Path) -> bool:
    venv.create(folder / "environment", with_pip=True)
    pip = [str(folder / "environment" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", "requirements.txt"]
    return _runs(pip, folder)


def _go(folder: Path) -> bool:
    return _runs([program("go") or "go", "build", "-o", "peer", "."], folder, {"GOFLAGS": "-mod=readonly"})


def _java(folder: Path) -> bool:
    goals = ["compile", "dependency:copy-dependencies"]
    where = ["-DoutputDirectory=target/dependency", "-DincludeScope=runtime"]
    return _runs([program("mvn") or "mvn", "-q", "-B", "-Dstyle.color=never", *goals, *where], folder)


def built(root: Path, cache_folder: Path, patterns: Sequence[str], build: Build) -> Path | None:
    """The folder in which the peer at `root` was built from what fits `patterns`; None if it cannot be."""
    sources = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    folder = cache_folder / f"{root.name}-{_hash(sources, root)}"
    cache_folder.mkdir(parents=True, exist_ok=True)
    with (cache_folder / f"{root.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "complete").exists():
            return folder
        say(f"Building the peer {root.name} (once) ...")
        _copy(sources, root, folder)
        if not build(folder):
            say(f"The peer {root.name} could not be built, see above; it is left out.")
            return None
        (folder / "complete").touch()
    return folder


def _hash(sources: Sequence[Path], root: Path) -> str:
    hashed = hashlib.sha256()
    for source in sources:
        hashed.update(f"{source.relative_to(root)}\n".encode() + source.read_bytes())
    return hashed.hexdigest()[:16]


def _copy(sources: Sequence[Path], root: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what a build that was broken off has left
    folder.mkdir()
    for source in sources:
        copy = folder / source.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def _runs(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> bool:
    """Whether it worked. What a builder says is of interest only where it did not."""
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
    )
    if done.returncode:
        say(done.stdout.rstrip())
    return done.returncode == 0
