"""Kafka's own jars, fetched once by Maven into `.cache/kafka-jars` of the checkout."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
JARS = Path(__file__).parents[2] / ".cache" / "kafka-jars"
ADDRESS_VARIABLE = "HERALD_TEST_KAFKA"
FETCH_SECONDS = 600


class KafkaMissing(Exception):
    """Kafka cannot be started here; its text says what is missing."""


def reason_for_no_nodes() -> str | None:
    """Why no Kafka node can be started on this machine, or None."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    return f"{' and '.join(missing)} not found" if missing else None


def reason_for_no_kafka() -> str | None:
    """Why there is no Kafka to test with, or None."""
    return None if os.environ.get(ADDRESS_VARIABLE) else reason_for_no_nodes()


def class_path() -> str:
    """The class path of Kafka's programs. Fetches the jars where they are missing or outdated."""
    if reason := reason_for_no_nodes():
        raise KafkaMissing(f"{reason}: install JDK 17 and Maven, or set {ADDRESS_VARIABLE}=host:port")
    JARS.mkdir(parents=True, exist_ok=True)
    complete = JARS / f"complete-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}"
    with (JARS / "lock").open("wb") as lock:
        # Several test processes ask at once; one fetches, the others wait for it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            _fetch()
            complete.touch()
    return f"{JARS}/*"


def _fetch() -> None:
    for old in [*JARS.glob("*.jar"), *JARS.glob("complete-*"), *JARS.glob("classes-*")]:
        old.unlink()
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={JARS}", "-DincludeScope=runtime"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=FETCH_SECONDS
    )
    if done.returncode:
        raise KafkaMissing(f"Maven could not fetch Kafka's jars: {(done.stdout + done.stderr)[-2000:]}")
