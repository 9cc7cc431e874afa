"""`herald api` as a whole, in this very process: alone, as one of several workers, as the workers' parent."""

import asyncio
import json
import os
import pickle
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from entrypoints.api_worker import WorkerLink, run_worker
from entrypoints.api_workers import WorkerOrders, run_workers
from entrypoints.child_process import ParentLink
from entrypoints.listening import listen_on, port_of
from entrypoints.run_api import run_api
from entrypoints.settings import Loaded
from entrypoints.settings_model import Settings
from entrypoints.status_child import StatusOrders, keeps_status, status_child
from entrypoints.status_process import run_status

READY_WORKER = """
import os, sys
link = int(sys.argv[-1])
assert len(sys.stdin.buffer.read()) > 100
os.write(link, b'{"ready": {}}\\n')
os.read(link, 1)
"""


def loaded_with(tmp_path: Path, **api: Any) -> Loaded:
    settings = Settings.model_validate(
        {
            "broker": {"backend": "memory"},
            "api": {"port": 0, **api},
            "logging": {"file": str(tmp_path / "{process}.log")},
        }
    )
    return Loaded(settings, {})


class Supervising(threading.Thread):
    """The other end of a link: asks this process to stop once it says that it is ready."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        ours, theirs = socket.socketpair()
        # Never closed: this process is the child here, and would end with its parent's end of the link.
        self.fd = theirs.detach()
        self.ours = ours.detach()
        self.told: list[Any] = []

    def run(self) -> None:
        heard = b""
        while b"ready" not in heard:
            heard += os.read(self.ours, 4096)
        self.told = [json.loads(line) for line in heard.splitlines()]
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def supervising() -> Supervising:
    thread = Supervising()
    thread.start()
    return thread


def test_the_api_tells_its_address_and_ends_well_on_sigterm(
    supervising: Supervising, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run_api(loaded_with(tmp_path), supervising.fd)
    supervising.join()

    assert code == 0
    assert supervising.told[-1]["ready"]["url"].startswith("http://127.0.0.1:")
    assert capfd.readouterr() == ("", "")
    assert [line["action"] for line in log_lines(tmp_path / "api.log")][-2:] == ["api_started", "api_stopped"]


def test_an_api_that_cannot_start_says_why_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run_api(loaded_with(tmp_path, keys_file=str(tmp_path / "missing")))
    out, err = capfd.readouterr()

    assert code == 1
    assert out == ""
    assert err == f"Error: the keys file {tmp_path}/missing cannot be read: No such file or directory\n"


def test_a_worker_serves_the_socket_it_was_given_and_ends_well_on_sigterm(
    supervising: Supervising, tmp_path: Path
) -> None:
    code = run_worker(orders(loaded_with(tmp_path), tmp_path), supervising.fd)
    supervising.join()

    assert code == 0
    assert (tmp_path / "1.json").exists()
    assert log_lines(tmp_path / "api-worker-1.log")[-1]["action"] == "api_stopped"


def test_the_process_that_keeps_statuses_is_ready_at_once_and_leaves_nothing_behind(
    supervising: Supervising, tmp_path: Path
) -> None:
    settings = {"broker": {"backend": "kafka"}, "kafka": {"bootstrap_servers": "127.0.0.1:1"}}
    logging = {"file": str(tmp_path / "{process}.log")}
    loaded = Loaded(Settings.model_validate({**settings, "logging": logging}), {})
    file = tmp_path / "view" / "status.db"

    code = run_status(StatusOrders(loaded=loaded, file=file, supervisor_fd=None), supervising.fd)
    supervising.join()

    assert code == 0
    assert list(file.parent.iterdir()) == []
    assert log_lines(tmp_path / "api-status.log")[0]["action"] == "status_view_started"


def test_the_process_that_keeps_statuses_is_no_refusal_to_start_where_its_disk_has_no_room(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = loaded_with(tmp_path)
    (tmp_path / "full").write_text("a file, and no folder")
    orders = StatusOrders(loaded=loaded, file=tmp_path / "full" / "status.db", supervisor_fd=None)
    # Neither end is closed: this process is the child here, and would end with its parent's end.
    ours, theirs = (end.detach() for end in socket.socketpair())
    code = run_status(orders, theirs)

    # Who ends before it is ready ends all that start with it, or is not started again.
    assert (code, os.read(ours, 4096)) == (1, b'{"ready": {}}\n')
    assert "status.db cannot be used" in capfd.readouterr().err


def test_a_worker_that_cannot_work_is_one_line_and_1(
    supervising: Supervising, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = loaded_with(tmp_path, keys_file=str(tmp_path / "missing"))

    code = run_worker(orders(broken, tmp_path), supervising.fd)

    assert code == 1
    assert capfd.readouterr().err.startswith("Error: the keys file ")


def test_what_a_worker_waits_for_reaches_the_supervisor_too() -> None:
    (parent, own), (supervisor, also) = socket.socketpair(), socket.socketpair()
    with parent, own, supervisor, also:
        link = WorkerLink(own.fileno(), ParentLink(also.fileno()))
        link.tell_waiting("no broker")
        link.tell_ready()
        told = (parent.recv(4096), supervisor.recv(4096))

    assert told == (b'{"waiting": "no broker"}\n{"ready": {}}\n', b'{"waiting": "no broker"}\n')


async def test_the_parent_tells_its_address_once_all_workers_are_ready_and_ends_well(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the library's own signature
    with ours, theirs, listen_on("127.0.0.1", 0, "a test") as listener:
        program = (sys.executable, "-I", "-S", "-c", READY_WORKER)
        link = ParentLink(theirs.fileno())
        running = asyncio.create_task(
            run_workers(loaded_with(tmp_path, workers=2), listener, "http://here", link, program)
        )
        told = await asyncio.get_running_loop().sock_recv(ours, 4096)
        port = port_of(listener)
        os.kill(os.getpid(), signal.SIGTERM)
        code = await running

    assert json.loads(told) == {"ready": {"url": "http://here"}}
    assert code == 0
    listen_on("127.0.0.1", port, "a test").close()


def test_orders_come_to_a_worker_as_they_were_given(tmp_path: Path) -> None:
    given = orders(loaded_with(tmp_path), tmp_path)

    assert pickle.loads(pickle.dumps(given)) == given  # noqa: S301 - our own bytes


def orders(loaded: Loaded, directory: Path) -> WorkerOrders:
    with listen_on("127.0.0.1", 0, "a test") as listener:
        return WorkerOrders(
            loaded=loaded, number=1, socket_fd=listener.detach(), directory=directory, supervisor_fd=None
        )


def log_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("backend", "hours", "keeps"), [("kafka", 24, True), ("kafka", 0, False), ("sqlite", 24, False)]
)
def test_only_kafka_needs_a_process_for_statuses_unless_they_are_off(
    backend: str, hours: int, *, keeps: bool
) -> None:
    settings = Settings.model_validate({"broker": {"backend": backend}, "status": {"hours": hours}})

    assert keeps_status(settings) is keeps


@pytest.mark.parametrize(("fd", "passed"), [(None, ()), (7, (7,))])
def test_the_process_for_statuses_gets_its_parent_s_link(
    tmp_path: Path, fd: int | None, passed: tuple[int, ...]
) -> None:
    orders = StatusOrders(loaded=loaded_with(tmp_path), file=tmp_path / "status.db", supervisor_fd=fd)

    child = status_child(orders)

    assert child.pass_fds == passed
    assert pickle.loads(child.stdin) == orders  # noqa: S301 - made above
