"""A consumer process tells how it stands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.memory_broker import MemoryBroker
from adapters.memory_presence import MemoryPresence
from application.counts import DeliveryCounts
from application.delivery_snapshot import DeliverySnapshot, ShardLag
from application.report_presence import NO_PARTITION, ProcessIdentity, ReportPresence
from domain.presence import USUAL_TIMES, ChannelState, ProcessReport, TopicWork
from tests.fakes import FakeClock

ME = ProcessIdentity(
    name="h-7-ab", group="email", host="h", pid=7, version="1.0", topics=("transactions", "refunds")
)


class Told(MemoryPresence):
    """Keeps every report."""

    def __init__(self, clock: FakeClock) -> None:
        self.broker = MemoryBroker(clock)
        super().__init__(self.broker, clock)
        self.reports: list[ProcessReport] = []

    async def tell(self, report: ProcessReport) -> None:
        await super().tell(report)
        self.reports.append(report)


class Process:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told = Told(self.clock)
        self.down: str | None = None
        self.unready: str | None = None
        self.lags: tuple[ShardLag, ...] = (ShardLag(topic="transactions", partition=1, end=9, committed=4),)
        self.counts = DeliveryCounts()
        self.use_case = ReportPresence(
            self.told,
            ME,
            self.clock,
            snapshot=self.snapshot,
            counts=self.counts,
            why_down=lambda: self.down,
            unready=self.is_unready,
        )

    def snapshot(self) -> DeliverySnapshot:
        return DeliverySnapshot(
            group="email", in_flight=2, channel_up=self.down is None, lags=self.lags, oldest_unfinished={}
        )

    async def is_unready(self) -> str | None:
        return self.unready

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.use_case.run())
        await self.clock.settle()
        yield
        task.cancel()


async def test_it_tells_at_once_and_then_every_few_seconds() -> None:
    process = Process()
    process.counts.deliveries["transactions", "sent"] = 5
    process.counts.deliveries["elsewhere", "sent"] = 7
    start = process.clock.now()

    async with process.running():
        await process.clock.advance(2 * USUAL_TIMES.tell + 0.1)

    assert [report.at - start for report in process.told.reports] == [
        0,
        USUAL_TIMES.tell,
        2 * USUAL_TIMES.tell,
    ]
    assert process.told.reports[0] == ProcessReport(
        process="h-7-ab",
        group="email",
        host="h",
        pid=7,
        version="1.0",
        started_at=start,
        at=start,
        channel=ChannelState(up=True, since=start),
        in_flight=2,
        topics=(
            TopicWork(topic="transactions", partitions=1, outcomes={"sent": 5}),
            TopicWork(topic="refunds", partitions=0, outcomes={}),
        ),
    )


async def test_that_it_has_partitions_now_is_told_at_once_and_so_is_that_it_has_none() -> None:
    process = Process()
    lags, process.lags = process.lags, ()
    process.unready = "the log does not answer yet"

    async with process.running():
        process.lags, process.unready = lags, None
        await process.clock.advance(0.6)
        begun = process.told.reports[-1]
        process.lags = ()
        await process.clock.advance(0.6)

    assert [report.waiting for report in process.told.reports] == [
        "the log does not answer yet",
        "",
        NO_PARTITION,
    ]
    assert [work.partitions for work in begun.topics] == [1, 0]


async def test_a_channel_that_goes_down_is_told_at_once_and_so_is_its_return() -> None:
    process = Process()
    start = process.clock.now()

    async with process.running():
        await process.clock.advance(1.0)
        process.down = "connection refused"
        await process.clock.advance(0.6)
        told = process.told.reports[-1].channel
        await process.clock.advance(20)
        process.down = None
        await process.clock.advance(0.6)

    assert not told.up
    assert told.reason == "connection refused"
    assert 1.0 <= told.since - start <= 1.6
    later = [report.channel for report in process.told.reports if not report.channel.up]
    assert set(later) == {told}, "since when does not move while it is down"
    back = process.told.reports[-1].channel
    assert (back.up, back.reason) == (True, "")
    assert back.since > told.since


async def test_no_address_is_told_though_a_server_s_words_may_hold_one() -> None:
    process = Process()
    process.down = "550 sender ada@example.com refused " + 500 * "x"

    async with process.running():
        await process.clock.settle()

    reason = process.told.reports[-1].channel.reason
    assert reason.startswith("550 sender ***@*** refused")
    assert len(reason) == 200


async def test_what_it_waits_for_is_told() -> None:
    process = Process()
    process.lags = ()
    assert (await process.use_case.report()).waiting == NO_PARTITION

    process.unready = "no Kafka broker answers"
    assert (await process.use_case.report()).waiting == "no Kafka broker answers"


async def test_a_log_that_is_away_is_waited_out() -> None:
    process = Process()
    process.told.broker.down = True

    async with process.running():
        await process.clock.advance(3 * USUAL_TIMES.tell)
        assert process.told.reports == []
        process.told.broker.down = False
        await process.clock.advance(USUAL_TIMES.tell)

    assert len(process.told.reports) >= 1


async def test_who_leaves_is_not_seen_any_more_and_a_log_that_is_away_is_no_reason_to_stay() -> None:
    process = Process()
    async with process.running():
        assert len(await process.told.seen()) == 1
    await process.use_case.leave()
    assert list(await process.told.seen()) == []

    process.told.broker.down = True
    await process.use_case.leave()
