"""The files of running Herald, as the tools read them that will."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deployment import ROOT

UNITS = ROOT / "deploy" / "systemd"
SYSTEM = Path("/lib/systemd/system")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("profile", [(), ("--profile", "watching")])
def test_compose_takes_its_file(profile: tuple[str, ...]) -> None:
    needs("docker-compose")

    done = run("docker-compose", *profile, "config", "-q")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """What systemd looks at: the units, its own targets, and a program where ours is."""
    folder = tmp_path / "etc" / "systemd" / "system"
    folder.mkdir(parents=True)
    for unit in [*UNITS.glob("*.service"), *SYSTEM.glob("*.target"), *SYSTEM.glob("*.slice")]:
        shutil.copy(unit, folder)
    (folder / "herald-consumer@email.service").symlink_to("herald-consumer@.service")
    program = tmp_path / "opt" / "herald" / "bin" / "herald"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def test_systemd_takes_the_units_and_finds_them_little_exposed(machine: Path) -> None:
    needs("systemd-analyze")
    units = ("herald-api.service", "herald-consumer@email.service")

    verified = run("systemd-analyze", "verify", f"--root={machine}", *units)
    judged = run(
        "systemd-analyze", "security", "--offline=true", "--threshold=20", f"--root={machine}", *units
    )

    assert (verified.returncode, verified.stderr) == (0, "")
    assert judged.returncode == 0, judged.stdout  # 2.0 of 10: "OK"
