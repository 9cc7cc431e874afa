"""Where there is no Kafka to test with, that is said loudly, and in CI it is a failure."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.mark.kafka
def test_that_needs_kafka(kafka_address): ...

@pytest.mark.kafka
def test_that_needs_a_node(own_broker): ...

def test_that_needs_none(): ...
"""


def run_without_java(tmp_path: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = kafka: needs a real Kafka\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "tests.kafka.plugin", *options]
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [*command, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path), **environment},
        cwd=tmp_path,
        timeout=100,
    )


@pytest.mark.parametrize("workers", ["0", "2"])
def test_kafka_tests_that_cannot_run_are_told_in_one_loud_line(tmp_path: Path, workers: str) -> None:
    done = run_without_java(tmp_path, "-n", workers)

    loud = [line for line in done.stdout.splitlines() if "KAFKA NOT TESTED" in line]
    assert len(loud) == 1
    assert "2 tests were not run (java and mvn not found)" in loud[0]
    assert "1 passed" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("workers", ["0", "2"])
def test_in_ci_that_is_a_failure(tmp_path: Path, workers: str) -> None:
    done = run_without_java(tmp_path, "-n", workers, CI="true")

    assert "KAFKA NOT TESTED" in done.stdout
    assert done.returncode == 1


def test_with_a_broker_given_only_tests_that_kill_one_are_left_out(tmp_path: Path) -> None:
    done = run_without_java(tmp_path, "-n", "0", HERALD_TEST_KAFKA="127.0.0.1:9092")

    assert "KAFKA NOT TESTED: 1 tests were not run" in done.stdout
    assert "2 passed" in done.stdout


def test_nothing_is_said_where_no_test_needs_kafka(tmp_path: Path) -> None:
    done = run_without_java(tmp_path, "-n", "0", "-m", "not kafka", CI="true")

    assert "KAFKA NOT TESTED" not in done.stdout
    assert done.returncode == 0
