"""The Dockerfile's steps without an engine: run in a folder that stands for the image's file system.

It holds what the steps make, at the same paths below that folder; the base's Python is this machine's.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.deployment import ROOT, instructions

# Fetching anew each time is for images, whose layers must not hold what was fetched.
NOT_HERE = {"PIP_NO_CACHE_DIR"}
STEP_SECONDS = 300
_PATHS = re.compile(r"(?<![\w.])(?=/(?:opt/herald|build|var/lib/herald)\b)")


@dataclass(slots=True)
class Image:
    """What an image holds and says of itself. `root`: the folder that stands for its file system."""

    root: Path
    workdir: str = "/"
    environ: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def path(self, inside: str) -> Path:
        """Where a path of the image is; one that is not absolute begins at its working directory."""
        return self.root / str(Path(self.workdir) / inside).lstrip("/")

    def placed(self, text: str) -> str:
        """The text with the image's own paths where they are here."""
        return _PATHS.sub(str(self.root), text)

    def environment(self) -> dict[str, str]:
        return {name: self.placed(value) for name, value in self.environ.items()}


def built(root: Path, snapshot: Path) -> Image:
    """Runs every step. `snapshot` gets the virtual environment as it is with the libraries alone."""
    base = root / "base"
    base.mkdir()
    (base / "python").symlink_to(
        Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    )
    image = Image(root)
    for name, rest in instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        _step(image, name, rest, base)
        if name == "RUN" and "requirements.txt" in rest:
            shutil.copytree(root / "opt/herald", snapshot, symlinks=True, copy_function=os.link)
    return image


def _step(image: Image, name: str, rest: str, base: Path) -> None:
    match name:
        case "FROM":
            image.workdir, image.environ = "/", {}
        case "WORKDIR":
            image.workdir = rest
            image.path("").mkdir(parents=True, exist_ok=True)
        case "ENV":
            image.environ |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "RUN":
            _run(image, rest, base)
        case "COPY":
            _copy(image, rest)
        case "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        case "HEALTHCHECK":
            image.health = json.loads(rest.partition(" CMD ")[2])
        case "LABEL" | "EXPOSE" | "CMD" | "USER" | "VOLUME":
            pass
        case _:
            raise NotImplementedError(f"{name}: teach tests/bare_venv.py this step")


def _run(image: Image, command: str, base: Path) -> None:
    usual = {
        name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_")) or name == "HOME"
    }
    given = {name: value for name, value in image.environment().items() if name not in NOT_HERE}
    environ = {**usual, **given, "PATH": f"{base}:/usr/bin:/bin"}
    command = image.placed(command)
    if os.getuid():  # only root may give files away
        command = command.replace("10001:10001", f"{os.getuid()}:{os.getgid()}")
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=image.path(""),
        env=environ,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"


def _copy(image: Image, rest: str) -> None:
    *sources, target = rest.split()
    if sources[0].startswith("--from="):
        assert sources[1:] == [target], "the stages share one folder here: copy to the same path"
        return
    for source in sources:
        into = image.path(target)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, into, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, into)
