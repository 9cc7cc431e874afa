"""The test support itself: what it starts ends with those who need it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.free_ports import free_ports
from tests.kafka.cluster import KEEPER, answers, hold


def kept(tmp_path: Path, *command: str) -> subprocess.Popen[bytes]:
    data = tmp_path / "data"
    data.mkdir()
    keeper = [sys.executable, "-S", "-E", str(KEEPER), str(tmp_path / "lifeline"), str(data)]
    return subprocess.Popen([*keeper, *command], stdout=subprocess.PIPE)


SAY_READY = (sys.executable, "-S", "-c", "import time; print('ready', flush=True); time.sleep(60)")


def test_the_command_and_its_data_end_with_the_last_holder(tmp_path: Path) -> None:
    first, second = hold(tmp_path / "lifeline"), hold(tmp_path / "lifeline")
    with kept(tmp_path, *SAY_READY) as keeper:
        assert keeper.stdout is not None
        ready = keeper.stdout.readline()
        first.close()
        lives = keeper.poll() is None
        second.close()
        code = keeper.wait(10)

    assert ready == b"ready\n"
    assert lives
    assert code == -signal.SIGKILL % 256
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("told", "died_of"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGUSR1, signal.SIGKILL)]
)
def test_a_killed_or_stopped_command_leaves_its_data(
    tmp_path: Path, told: signal.Signals, died_of: signal.Signals
) -> None:
    with hold(tmp_path / "lifeline"), kept(tmp_path, *SAY_READY) as keeper:
        assert keeper.stdout is not None
        keeper.stdout.readline()
        keeper.send_signal(told)
        code = keeper.wait(10)

    assert code == -died_of % 256
    assert (tmp_path / "data").exists()


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(4)

    assert len(set(ports)) == 4
    assert not any(answers(port) for port in ports)
