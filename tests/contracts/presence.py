"""What every `Presence` keeps."""

import asyncio
import time
from dataclasses import replace

import pytest

from domain.errors import LogUnavailable
from domain.presence import ChannelState, PresenceTimes, ProcessReport, TopicWork
from domain.view_ports import Presence
from tests.contracts.rig import Rig

QUICKLY_GONE = PresenceTimes(gone=1.0)


def report(process: str, **changes: object) -> ProcessReport:
    now = time.time()
    one = ProcessReport(
        process=process,
        group="email",
        host="mail-1",
        pid=7,
        version="1.2.3",
        started_at=now,
        at=now,
        channel=ChannelState(up=True, since=now),
        in_flight=3,
        topics=(TopicWork(topic="transactions", partitions=2, outcomes={"sent": 5}),),
    )
    return replace(one, **changes)  # type: ignore[arg-type]


async def names_seen(presence: Presence, told: ProcessReport) -> list[str]:
    """Who is seen right after this report."""
    await presence.tell(told)
    return [seen.process for seen in await presence.seen()]


class PresenceContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_nobody_is_seen_where_nobody_told(self, rig: Rig) -> None:
        await rig.make_room_for_presence()
        async with rig.presence() as presence:
            assert list(await presence.seen()) == []

    async def test_a_process_is_seen_by_another_as_it_told(self, rig: Rig) -> None:
        await rig.make_room_for_presence()
        down = ChannelState(up=False, since=1_700_000_000.5, reason="connection refused; 2 tries")
        told = report("mail/1 ~ä", channel=down, waiting="standing by", in_flight=0)

        async with rig.presence() as one, rig.presence() as other:
            await one.tell(told)

            assert list(await other.seen()) == [told]

    async def test_the_newest_report_takes_the_place_of_the_earlier_ones(self, rig: Rig) -> None:
        await rig.make_room_for_presence()
        first = report("a")
        later = replace(first, at=first.at + 1, in_flight=9)

        async with rig.presence() as one, rig.presence() as other:
            await one.tell(first)
            assert list(await other.seen()) == [first]
            await one.tell(later)

            assert list(await other.seen()) == [later]

    async def test_processes_come_by_group_and_by_their_start(self, rig: Rig) -> None:
        await rig.make_room_for_presence()
        old, young = report("z"), report("a", started_at=time.time() + 1)
        text = report("s", group="sms")

        async with rig.presence() as one:
            for told in (text, young, old):
                await one.tell(told)

            assert [seen.process for seen in await one.seen()] == ["z", "a", "s"]

    async def test_who_told_nothing_for_long_is_not_seen(self, rig: Rig) -> None:
        await rig.make_room_for_presence()
        async with rig.presence(QUICKLY_GONE) as one:
            await one.tell(report("old"))
            await asyncio.sleep(QUICKLY_GONE.gone + 0.1)

            async with asyncio.timeout(rig.patience):
                # Again, for on a busy machine a first look may take longer than a report counts.
                while await names_seen(one, report("new")) != ["new"]:
                    pass

    async def test_who_left_is_not_seen_and_may_leave_twice(self, rig: Rig) -> None:
        await rig.make_room_for_presence()
        async with rig.presence() as one, rig.presence() as other:
            await one.tell(report("a"))
            await one.tell(report("b"))
            assert len(await other.seen()) == 2

            await one.leave("a")
            await one.leave("a")

            assert [seen.process for seen in await other.seen()] == ["b"]

    async def test_many_may_tell_at_once(self, rig: Rig) -> None:
        await rig.make_room_for_presence()
        names = [f"p{number}" for number in range(20)]
        async with rig.presence() as one, rig.presence() as other:
            await asyncio.gather(
                *((one, other)[number % 2].tell(report(name)) for number, name in enumerate(names))
            )

            assert sorted(seen.process for seen in await one.seen()) == sorted(names)

    async def test_what_cannot_be_reached_is_said_in_bounded_time(self, rig: Rig) -> None:
        async with asyncio.timeout(rig.patience), rig.unreachable_presence() as presence:
            with pytest.raises(LogUnavailable):
                await presence.tell(report("a"))
            with pytest.raises(LogUnavailable):
                await presence.leave("a")
            with pytest.raises(LogUnavailable):
                await presence.seen()
