"""A cluster's nodes taken down and brought back by commands, as an operator's are."""

import asyncio
import shlex
import socket
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kafka.cluster import KafkaCluster

DONE = b"done\n"


class RemoteControl:
    """`stop` kills one node after the other, each time the next; `start` restarts the one that is down."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self.kills = 0
        self._cluster = cluster
        self._stack = AsyncExitStack()
        self._path = Path()

    @property
    def stop(self) -> str:
        return self._command("stop")

    @property
    def start(self) -> str:
        return self._command("start")

    async def __aenter__(self) -> Self:
        # Not in the test's own folder: a socket's path has to be short.
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="herald-kafka-"))
        self._path = Path(folder) / "remote"
        server = await asyncio.start_unix_server(self._obey, self._path)
        await self._stack.enter_async_context(server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _command(self, act: str) -> str:
        root = Path(__file__).parents[2]
        command = [sys.executable, "-P", "-m", "tests.kafka.remote", str(self._path), act]
        return f"PYTHONPATH={shlex.quote(str(root))} {shlex.join(command)}"

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        act = (await reader.readline()).decode().strip()
        if act == "stop":
            await asyncio.to_thread(self._cluster.kill, self.kills % self._cluster.size)
            self.kills += 1
        else:
            await asyncio.to_thread(self._cluster.restart, (self.kills - 1) % self._cluster.size)
        writer.write(DONE)
        await writer.drain()
        writer.close()


def main(path: str, act: str) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(f"{act}\n".encode())
        return 0 if connection.recv(len(DONE)) == DONE else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
