"""A way to a broker that a test can stop up, or that answers in the broker's place."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from tests.free_ports import free_ports
from tests.kafka.cluster import KafkaCluster

OFFSET_FETCH = 9
NOT_COORDINATOR = 16


def proxied_cluster() -> tuple[KafkaCluster, "KafkaProxy"]:
    """One node with a second way in: clients that come through the proxy are sent through it again."""
    cluster = KafkaCluster(1)
    [node] = cluster.nodes
    behind, before = free_ports(2)
    cluster.settings |= {
        "listeners": (
            f"PLAINTEXT://127.0.0.1:{node.port},PROXIED://127.0.0.1:{behind},"
            f"CONTROLLER://127.0.0.1:{node.controller_port}"
        ),
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.port},PROXIED://127.0.0.1:{before}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    return cluster, KafkaProxy(before, behind)


class KafkaProxy:
    """While it `refuses`, it answers questions for committed positions itself: with an error that is the
    group's, and no partitions. `refusals`: how many of them. `delay`: seconds that every answer takes.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.refuses = False
        self.refusals = 0
        self.delay = 0.0
        self._port = port
        self._broker_port = broker_port
        self._open = asyncio.Event()
        self._open.set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["KafkaProxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        async with server:
            yield self
            self._open.set()
            server.close()

    @contextmanager
    def stopped_up(self) -> Iterator[None]:
        """Nothing passes, and no connection breaks; what came meanwhile passes afterwards."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked: dict[int, int] = {}
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._broker_port)
        except OSError:
            writer.close()
            return
        pumps = [
            asyncio.create_task(self._requests(reader, back, asked)),
            asyncio.create_task(self._answers(there, writer, asked)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.close()
            back.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, int]
    ) -> None:
        async for frame in _frames(reader):
            key, version, number = struct.unpack_from(">hhi", frame)
            if key == OFFSET_FETCH:
                asked[number] = version
            await self._pass(frame, writer)

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict[int, int]
    ) -> None:
        async for frame in _frames(reader):
            [number] = struct.unpack_from(">i", frame)
            version = asked.pop(number, None)
            await asyncio.sleep(self.delay)
            if version is not None and self.refuses:
                self.refusals += 1
                await self._pass(_refusal(number, version), writer)
            else:
                await self._pass(frame, writer)

    async def _pass(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        writer.write(struct.pack(">i", len(frame)) + frame)
        await writer.drain()


def _refusal(number: int, version: int) -> bytes:
    """OffsetFetch, versions 2 and 3: no topics, and the error that is the group's."""
    throttle = b"" if version < 3 else struct.pack(">i", 0)
    return struct.pack(">i", number) + throttle + struct.pack(">ih", 0, NOT_COORDINATOR)


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            [size] = struct.unpack(">i", await reader.readexactly(4))
            yield await reader.readexactly(size)
