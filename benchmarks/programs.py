"""Programs that a measurement needs, taken from Debian's packages where they are missing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache

PACKAGES = {
    "go": "golang-go",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "mvn": "maven",
}
"""Where a package is not called like its program."""
_SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/go/bin"])


def program(name: str) -> str | None:
    """Where a program is, also where only the administrator's PATH finds it."""
    return shutil.which(name, path=_SEARCHED)


@cache  # what cannot be had is told about once
def ensure(*names: str) -> bool:
    """Whether these programs are here, after an attempt to install them. One line says what is missing."""
    if packages := _packages(names):
        _install(packages)
    missing = [name for name in names if program(name) is None]
    if missing:
        wanted = " ".join(_packages(names))
        say(f"{' and '.join(missing)} not found: install {wanted}. What needs it is left out.")
    return not missing


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _packages(names: Sequence[str]) -> list[str]:
    return sorted({PACKAGES.get(name, name) for name in names if program(name) is None})


def _install(packages: Sequence[str]) -> None:
    manager, sudo = shutil.which("apt-get"), shutil.which("sudo")
    root = [] if os.geteuid() == 0 else [sudo or "", "-n"]
    if manager is None or "" in root:
        return
    say(f"Installing {' '.join(packages)} from this system's packages ...")
    quiet = [*root, "env", "DEBIAN_FRONTEND=noninteractive", manager, "-qq"]
    subprocess.run([*quiet, "update"], check=False, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*quiet, "install", "--yes", "--no-install-recommends", *packages],
        check=False,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
