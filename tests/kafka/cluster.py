"""One Kafka node or several on free ports of the loopback; started, killed, stopped and restarted.

Every call blocks; from a test with an event loop use `asyncio.to_thread`.
"""

import base64
import contextlib
import fcntl
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from uuid import uuid4

from tests.free_ports import free_ports
from tests.kafka.archive import class_archive
from tests.kafka.jars import class_path

KEEPER = Path(__file__).with_name("keeper.py")
JVM = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
START_SECONDS = 60.0
STOP_SECONDS = 15.0
ARCHIVE_SECONDS = 60.0
# Small timings, so that tests of death and return need not wait for Kafka's patience.
SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "1000",
    "file.delete.delay.ms": "1000",
}


def random_id() -> str:
    """As Kafka writes a UUID: 16 bytes in base64 for URLs, and none that looks like an option."""
    written = base64.urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()
    return written if written[0] != "-" else random_id()


@dataclass(slots=True)
class Node:
    """One node: its numbers, and the keeper process while it runs."""

    number: int
    port: int
    controller_port: int
    directory: Path
    keeper: subprocess.Popen[bytes] | None = None


@dataclass(slots=True)
class KafkaCluster:
    """A cluster of `size` nodes that ends with the process, however that ends.

    `lifeline`: a file; the nodes live as long as some process holds a shared `flock` on it. Given from
    outside, the cluster outlives its starter while others hold it; by default it is this object's own.
    `settings`: more server properties, and `own` those of single nodes by their number. `cluster_id`: any by
    default. `format_options`: of the tool that formats a node's disk. `answers_plainly`: False where a node
    wants TLS, so that only its open port can be waited for. `jvm_options`: those that make starting quick.
    """

    size: int = 1
    lifeline: Path | None = None
    settings: dict[str, str] = field(default_factory=dict)
    own: dict[int, dict[str, str]] = field(default_factory=dict)
    cluster_id: str = field(default_factory=random_id)
    format_options: tuple[str, ...] = ()
    answers_plainly: bool = True
    jvm_options: tuple[str, ...] | None = None
    directory: Path = field(init=False)
    nodes: list[Node] = field(init=False)
    _held: IO[bytes] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="herald-kafka-"))
        ports = free_ports(2 * self.size)
        self.nodes = [
            Node(n + 1, ports[2 * n], ports[2 * n + 1], self.directory / str(n + 1)) for n in range(self.size)
        ]

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> Self:
        """Formats and starts all nodes; returns when each answers."""
        path = class_path()
        if self.jvm_options is None:
            self.jvm_options = class_archive(archive_classes)
        if self.lifeline is None:
            self.lifeline = self.directory / "lifeline"
            self._held = hold(self.lifeline)
        for node in self.nodes:
            self._format(node, path)
        self.restart(*range(self.size))
        return self

    def restart(self, *numbers: int) -> None:
        """Starts nodes (0 is the first) that were killed or stopped, on their data and ports."""
        for number in numbers:
            self._launch(self.nodes[number])
        for number in numbers:
            self._await_answer(self.nodes[number])

    def kill(self, number: int = 0) -> None:
        """SIGKILL: no goodbye, no flush."""
        self._end(self.nodes[number], signal.SIGUSR1)

    def stop(self, number: int = 0, patience: float = STOP_SECONDS) -> None:
        """SIGTERM; a node that cannot end gracefully (no quorum is left) is killed."""
        self._end(self.nodes[number], signal.SIGTERM, patience)

    def leave(self) -> None:
        """Leaves the nodes running, for those who hold the lifeline besides."""
        for node in self.nodes:
            if node.keeper is not None:
                node.keeper.returncode = 0  # or Python warns of a child that nobody waited for
                node.keeper = None

    def close(self) -> None:
        """Kills every node and removes the data. Twice is harmless."""
        for number in range(self.size):
            self.kill(number)
        if self._held is not None:
            self._held.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _format(self, node: Node, path: str) -> None:
        node.directory.mkdir(parents=True)
        properties = node.directory / "server.properties"
        properties.write_text("".join(f"{k}={v}\n" for k, v in self._properties(node).items()))
        options = ("-t", self.cluster_id, "-c", str(properties), *self.format_options)
        # What is not archived yet is not read from an archive, either.
        jvm = [one for one in self.jvm_options or () if "AtExit" not in one]
        _run(*jvm, "-cp", path, "kafka.tools.StorageTool", "format", *options)

    def _properties(self, node: Node) -> dict[str, str]:
        voters = ",".join(f"{n.number}@127.0.0.1:{n.controller_port}" for n in self.nodes)
        copies = str(min(3, self.size))
        in_sync = "2" if self.size >= 3 else "1"
        return {
            **SETTINGS,
            "node.id": str(node.number),
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.port}",
            "log.dirs": str(node.directory / "data"),
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            **self.settings,
            **self.own.get(node.number, {}),
        }

    def _launch(self, node: Node) -> None:
        self._end(node, signal.SIGUSR1)
        command = [*JVM, *(self.jvm_options or ()), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        command += ["-cp", class_path()]
        command += ["kafka.Kafka", str(node.directory / "server.properties")]
        keeper = [sys.executable, "-S", "-E", str(KEEPER), str(self.lifeline), str(self.directory)]
        with (node.directory / "output.log").open("ab") as output:
            node.keeper = subprocess.Popen(
                [*keeper, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _await_answer(self, node: Node) -> None:
        deadline = time.monotonic() + START_SECONDS
        answered = answers if self.answers_plainly else listens
        while not answered(node.port):
            if node.keeper is None or node.keeper.poll() is not None or time.monotonic() > deadline:
                tail = (node.directory / "output.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"Kafka node {node.number} does not answer: {tail}")
            time.sleep(0.1)

    @staticmethod
    def _end(node: Node, by: signal.Signals, patience: float = STOP_SECONDS) -> None:
        keeper, node.keeper = node.keeper, None
        if keeper is None:
            return
        keeper.send_signal(by)
        try:
            keeper.wait(patience)
        except subprocess.TimeoutExpired:
            keeper.send_signal(signal.SIGUSR1)
            keeper.wait(STOP_SECONDS)


def hold(lifeline: Path) -> IO[bytes]:
    """Keeps the nodes on this lifeline alive until the file is closed or the process is gone."""
    lifeline.touch()
    held = lifeline.open("rb")
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def listens(port: int) -> bool:
    """Whether anything accepts connections on this port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def answers(port: int) -> bool:
    """Whether a broker on this port answers an ApiVersions request."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
        return len(connection.recv(4)) == 4
    return False


def archive_classes(file: Path) -> None:
    """Writes the classes that a node loads until it answers."""
    with KafkaCluster(1, jvm_options=(f"-XX:ArchiveClassesAtExit={file}",)) as cluster:
        cluster.stop(patience=ARCHIVE_SECONDS)


def _run(*words: str) -> None:
    command = [*JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", *words]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[-6:])} failed: {done.stdout}{done.stderr}")
