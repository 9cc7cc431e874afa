"""The counts of several API workers, as one.

Each worker answers with its counts on a Unix socket in a directory that only they can enter; who is
asked for the metrics asks all. What a worker counted outlives it in a file, which its successor goes on
from: the file is written before any answer that tells of it, so that no sum ever goes down.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from application.counts import ProduceCounts

_SAVE_SECONDS = 1.0
_ANSWER_SECONDS = 1.0


class CountsSnapshot(msgspec.Struct, frozen=True):
    """`ProduceCounts` as JSON."""

    requests: dict[int, int]
    messages: dict[str, int]
    durations: list[int]
    duration_total: float


def encode_counts(counts: ProduceCounts) -> bytes:
    return msgspec.json.encode(
        CountsSnapshot(counts.requests, counts.messages, counts.duration.counts, counts.duration.total)
    )


def decode_counts(data: bytes) -> ProduceCounts:
    """Raises `msgspec.DecodeError` for what is no snapshot."""
    snapshot = msgspec.json.decode(data, type=CountsSnapshot)
    counts = ProduceCounts(Counter(snapshot.requests), Counter(snapshot.messages))
    if len(snapshot.durations) != len(counts.duration.counts):
        raise msgspec.DecodeError("another number of buckets")
    counts.duration.counts = snapshot.durations
    counts.duration.total = snapshot.duration_total
    return counts


def sum_counts(several: Iterable[ProduceCounts]) -> ProduceCounts:
    """A new value; the given ones stay as they are."""
    total = ProduceCounts()
    for counts in several:
        total.requests.update(counts.requests)
        total.messages.update(counts.messages)
        total.duration.total += counts.duration.total
        pairs = zip(total.duration.counts, counts.duration.counts, strict=True)
        total.duration.counts = [one + other for one, other in pairs]
    return total


class WorkerCounts:
    """The counts of worker `number`, shared with the others in `directory`. `own` is counted by this one."""

    def __init__(self, directory: Path, number: int, own: ProduceCounts) -> None:
        self._directory = directory
        self._own = own
        self._file = directory / f"{number}.json"
        self._before = ProduceCounts()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._before = _read(self._file)
        self._save()
        socket = self._file.with_suffix(".sock")
        server = await asyncio.start_unix_server(self._answer, socket)
        self._stack.callback(server.close)
        saver = asyncio.create_task(self._keep_saving())
        self._stack.callback(saver.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self._save()

    async def total(self) -> ProduceCounts:
        """The sum over all workers there were; a worker that does not answer counts as last saved."""
        files = [file for file in self._directory.glob("*.json") if file != self._file]
        others = await asyncio.gather(*map(_ask, files))
        self._save()
        return sum_counts([self._mine(), *others])

    def _mine(self) -> ProduceCounts:
        return sum_counts([self._before, self._own])

    def _save(self) -> None:
        written = self._file.with_suffix(".new")
        # A full disk costs the counts of a killed worker, not the answer.
        with contextlib.suppress(OSError):
            written.write_bytes(encode_counts(self._mine()))
            written.replace(self._file)

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            self._save()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._save()
        with contextlib.suppress(OSError):
            writer.write(encode_counts(self._mine()))
            writer.close()
            await writer.wait_closed()


async def _ask(file: Path) -> ProduceCounts:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return decode_counts(await _read_socket(file.with_suffix(".sock")))
    except (OSError, TimeoutError, msgspec.DecodeError):
        return _read(file)


async def _read_socket(socket: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        return await reader.read()
    finally:
        writer.close()


def _read(file: Path) -> ProduceCounts:
    try:
        return decode_counts(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return ProduceCounts()
