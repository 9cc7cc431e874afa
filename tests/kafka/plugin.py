"""pytest's side of the real Kafka: its fixtures, and one loud line where it cannot be had.

One broker is shared by all tests of a session, also by the workers of pytest-xdist: the first that needs
it starts it, and it ends with the last that holds it.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.cluster import KafkaCluster, answers, hold
from tests.kafka.jars import ADDRESS_VARIABLE, reason_for_no_kafka, reason_for_no_nodes

NODE_FIXTURES = {"own_broker", "three_brokers", "guarded_broker", "strict_broker"}
NOT_RUN = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def kafka_address(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """`host:port` of a broker that nobody stops. Topics and groups need names of their own."""
    if address := os.environ.get(ADDRESS_VARIABLE):
        yield address
        return
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "kafka"
    shared.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        with (shared / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stack.enter_context(hold(shared / "lifeline"))
            address = _shared_address(shared)
        yield address


def _shared_address(shared: Path) -> str:
    """The running broker's address; a new broker where none runs, or the last one's users are gone."""
    written = shared / "address"
    if written.exists() and answers(int(written.read_text().rpartition(":")[2])):
        return written.read_text()
    cluster = KafkaCluster(1, lifeline=shared / "lifeline").start()
    cluster.leave()
    written.write_text(cluster.bootstrap_servers)
    return cluster.bootstrap_servers


@pytest.fixture
async def own_broker() -> AsyncIterator[KafkaCluster]:
    """One node that the test may kill and restart."""
    cluster = await asyncio.to_thread(KafkaCluster(1).start)
    yield cluster
    await asyncio.to_thread(cluster.close)


@pytest.fixture(scope="module")
def three_brokers() -> Iterator[KafkaCluster]:
    """Three nodes that the module's tests may kill and restart; each leaves them running."""
    with KafkaCluster(3) as cluster:
        yield cluster


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    no_kafka, no_nodes = reason_for_no_kafka(), reason_for_no_nodes()
    left_out = [
        item
        for item in items
        if item.get_closest_marker("kafka")
        and (no_kafka or (no_nodes and NODE_FIXTURES & set(getattr(item, "fixturenames", ()))))
    ]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
        config.stash[NOT_RUN] = len(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist ended: what it left out is told by the one that reports."""
    left_out = getattr(node, "workeroutput", {}).get("kafka_not_run", 0)
    stash = node.config.stash
    stash[NOT_RUN] = max(left_out, stash.get(NOT_RUN, 0))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    left_out = session.config.stash.get(NOT_RUN, 0)
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["kafka_not_run"] = left_out
    elif left_out and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(NOT_RUN, 0):
        reason = reason_for_no_kafka() or reason_for_no_nodes()
        terminalreporter.write_line(
            f"KAFKA NOT TESTED: {left_out} tests were not run ({reason}); "
            f"install JDK 17 and Maven, or set {ADDRESS_VARIABLE}=host:port",
            red=True,
            bold=True,
        )
