"""`Presence` in memory, for tests."""

from collections.abc import Sequence
from typing import Self

from adapters.memory_broker import MemoryBroker
from adapters.presence_json import in_order
from domain.errors import LogUnavailable
from domain.ports import Clock
from domain.presence import USUAL_TIMES, PresenceTimes, ProcessReport


class MemoryPresence:
    """Over one broker all see each other."""

    def __init__(self, broker: MemoryBroker, clock: Clock, times: PresenceTimes = USUAL_TIMES) -> None:
        self._broker = broker
        self._clock = clock
        self._times = times

    async def tell(self, report: ProcessReport) -> None:
        self._reach()
        self._broker.reports[report.process] = report

    async def leave(self, process: str) -> None:
        self._reach()
        self._broker.reports.pop(process, None)

    async def seen(self) -> Sequence[ProcessReport]:
        self._reach()
        now = self._clock.now()
        told = self._broker.reports.values()
        return in_order([report for report in told if self._times.is_there(report.at, now)])

    def _reach(self) -> None:
        if self._broker.down:
            raise LogUnavailable("the log in memory is down")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None
