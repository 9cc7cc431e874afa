"""The program `herald` with other numbers where no setting holds them, and with ways to break it.

`HERALD_TEST_NUMBERS`: JSON, by provider of the container: `{"retry_policy": {"uncertain_waits": [1]}}`.
`HERALD_TEST_BREAKS`: what a consumer does on SIGUSR1: its reading stands still (`reading`), aiokafka's task
that fetches ends (`fetching`), or the one that keeps its membership (`coordination`).
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka import AIOKafkaConsumer
from dependency_injector import providers

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_log import KafkaLog
from adapters.kafka_times import GroupTimes
from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_log import SqliteLog
from containers import Container
from domain.log import LogEvent, Shard
from entrypoints.cli import main
from entrypoints.cli_options import Invocation
from entrypoints.programs import Programs
from entrypoints.rare_collections import end_with
from entrypoints.run_all import run_all
from entrypoints.settings import Loaded

PROGRAM = (sys.executable, "-P", "-m", "tests.faults.impatient")


class ImpatientPrograms(Programs):
    """As the program's own, but that the children of `herald run` are impatient too."""

    def run(self, loaded: Loaded, arguments: Sequence[str]) -> int:
        return run_all(loaded, arguments, PROGRAM)


def _on_signal(break_down: Callable[[], object]) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, break_down)


class StuckSqliteLog(SqliteLog):
    """After the signal it still tells where the log ends, but reads nothing more."""

    def __init__(self, file: SqliteGroupFile, topics: Sequence[str]) -> None:
        super().__init__(file, topics)
        self._stands_still = asyncio.Event()
        _on_signal(self._stands_still.set)

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        if self._stands_still.is_set():
            await asyncio.sleep(seconds)
            return None
        return await super().next_event(wanted, limit, seconds)


class StuckKafkaLog(KafkaLog):
    """After the signal it still tells where the log ends, but reads nothing more."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stands_still = asyncio.Event()
        _on_signal(self._stands_still.set)

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        nothing: AbstractSet[Shard] = frozenset()
        return await super().next_event(nothing if self._stands_still.is_set() else wanted, limit, seconds)


class ConsumerThatStopsFetching(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is untyped
    """The task that asks the brokers for records ends, as by an error that aiokafka does not expect."""

    async def start(self) -> None:
        await super().start()
        _on_signal(self._fetcher._fetch_task.cancel)


class ConsumerThatStopsCoordinating(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is untyped
    """The task that keeps the membership meets an error that aiokafka does not expect."""

    async def start(self) -> None:
        await super().start()
        _on_signal(self._break_down)

    def _break_down(self) -> None:
        self._coordinator._closing = None
        self._coordinator.request_rejoin()


def _kafka_log(
    connection: KafkaConnection, prefix: str, group: str, topics: list[str], times: GroupTimes, breaks: str
) -> KafkaLog:
    consumers = {"fetching": ConsumerThatStopsFetching, "coordination": ConsumerThatStopsCoordinating}
    log = StuckKafkaLog if breaks == "reading" else KafkaLog
    consumer_class = consumers.get(breaks, AIOKafkaConsumer)
    return log(connection, group, f"{prefix}{group}", topics, times=times, consumer_class=consumer_class)


def _change(container: type[Container], numbers: str, breaks: str) -> None:
    for name, changed in json.loads(numbers).items():
        getattr(container, name).add_kwargs(**changed)
    if not breaks:
        return
    prefix = container.settings.provided.kafka.group_prefix
    kafka = (container.kafka_connection, prefix, container.group, container.subscribed, container.group_times)
    logs = providers.Selector(
        container.backend,
        sqlite=providers.Singleton(StuckSqliteLog, container.sqlite_group_file, container.subscribed),
        kafka=providers.Singleton(_kafka_log, *kafka, breaks),
    )
    container.message_log.override(logs)


if __name__ == "__main__":
    _change(Container, os.environ.get("HERALD_TEST_NUMBERS", "{}"), os.environ.get("HERALD_TEST_BREAKS", ""))
    end_with(lambda: main(None, Invocation(ImpatientPrograms())))
