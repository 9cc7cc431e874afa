"""What every `MessageLog` keeps, and what those keep that deal shards out among a group's processes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from domain.log import Assigned, Bounds, Fetched, Overtaken, Position, Revoking, Shard
from tests.contracts.rig import Reader, Rig, both_until, eventually_ready, record

GROUP = "email"


async def publish(rig: Rig, values: Sequence[str], partition: int = 0) -> None:
    async with rig.publisher() as publisher:
        await publisher.publish([record(rig.shard(partition), value) for value in values])


@asynccontextmanager
async def reading(rig: Rig, group: str = GROUP) -> AsyncIterator[Reader]:
    """One process alone in its group, with everything assigned."""
    async with rig.log(group) as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        yield reader


class LogContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_a_process_alone_gets_every_shard_of_every_topic(self, rig: Rig) -> None:
        async with reading(rig) as reader:
            assert reader.held == rig.shards()

    async def test_nothing_is_read_before_begin(self, rig: Rig) -> None:
        await publish(rig, ["one"])
        held: set[Shard] = set()
        async with rig.log(GROUP) as log, asyncio.timeout(rig.patience):
            while held != rig.shards():
                event = await log.next_event(rig.shards(), 10, 0.1)
                held |= event.shards if isinstance(event, Assigned) else set()
            nothing = await log.next_event(rig.shards(), 10, 0.1)

        assert nothing is None

    async def test_each_record_is_handed_out_once_and_in_the_order_of_its_shard(self, rig: Rig) -> None:
        values = [str(n) for n in range(30)]
        await publish(rig, values, partition=0)
        await publish(rig, values, partition=1)
        async with reading(rig) as reader:
            await reader.until_read(60)
            await reader.nothing_more()

        assert reader.values(rig.shard(0)) == values
        assert reader.values(rig.shard(1)) == values
        assert [one.offset for one in reader.records if one.shard == rig.shard(1)] == list(range(30))

    async def test_no_more_records_come_than_the_limit(self, rig: Rig) -> None:
        await publish(rig, [str(n) for n in range(20)])
        await publish(rig, [str(n) for n in range(20)], partition=1)
        sizes: list[int] = []
        async with reading(rig) as reader, asyncio.timeout(rig.patience):
            while sum(sizes) < 40:
                event = await reader.step(limit=3)
                sizes += [len(event.records)] if isinstance(event, Fetched) else []

        assert max(sizes) <= 3
        assert reader.values(rig.shard()) == [str(n) for n in range(20)]

    async def test_a_record_larger_than_what_is_fetched_at_once_comes_and_so_does_what_is_behind_it(
        self, rig: Rig
    ) -> None:
        values = ["before", "x" * 900_000, "between", "y" * 900_000, "behind"]
        for value in values:  # each in a batch of its own
            await publish(rig, [value])
        async with reading(rig) as reader:
            await reader.until_read(len(values))

        assert reader.values(rig.shard()) == values

    async def test_only_records_of_wanted_shards_come(self, rig: Rig) -> None:
        await publish(rig, ["unwanted"], partition=0)
        await publish(rig, ["wanted"], partition=1)
        async with reading(rig) as reader:
            reader.held = {rig.shard(1)}
            await reader.until_read(1)
            await reader.nothing_more()
            only_wanted = list(reader.records)
            reader.held = {rig.shard(0)}
            await reader.until_read(2)

        assert [one.shard for one in only_wanted] == [rig.shard(1)]
        assert reader.values(rig.shard(0)) == ["unwanted"]

    async def test_with_nothing_wanted_the_shards_stay_ours(self, rig: Rig) -> None:
        await publish(rig, ["one"])
        async with reading(rig) as reader:
            held, reader.held = reader.held, set()
            await reader.nothing_more()
            before = list(reader.records)
            reader.held = held
            await reader.until_read(1)

        assert before == []
        assert reader.values(rig.shard()) == ["one"]

    async def test_none_comes_when_nothing_happens_in_about_the_time_given(self, rig: Rig) -> None:
        async with reading(rig) as reader:
            begun = monotonic()
            nothing = await reader.step(seconds=0.1)
            took = monotonic() - begun

        assert nothing is None
        assert 0.05 <= took < 2

    async def test_a_record_published_meanwhile_ends_the_waiting(self, rig: Rig) -> None:
        async with reading(rig) as reader:
            waiting = asyncio.ensure_future(reader.step(seconds=rig.patience))
            await asyncio.sleep(0.05)
            begun = monotonic()
            await publish(rig, ["one"])
            event = await waiting

        assert isinstance(event, Fetched)
        assert monotonic() - begun < rig.patience / 2

    async def test_begin_ends_the_waiting_too(self, rig: Rig) -> None:
        await publish(rig, ["one"])
        async with reading(rig) as reader:
            await reader.until_read(1)
            waiting = asyncio.ensure_future(reader.step(seconds=rig.patience))
            await asyncio.sleep(0.05)
            begun = monotonic()
            reader.log.begin(rig.shard(), 0)
            event = await waiting

        assert isinstance(event, Fetched)
        assert monotonic() - begun < rig.patience / 2

    async def test_a_cancelled_call_loses_no_record(self, rig: Rig) -> None:
        async with reading(rig) as reader, rig.publisher() as publisher:
            for n in range(20):
                call = asyncio.ensure_future(reader.step(seconds=5))
                await asyncio.sleep(0)
                publishing = asyncio.ensure_future(publisher.publish([record(rig.shard(), str(n))]))
                await asyncio.sleep(0.001 * (n % 4))
                call.cancel()
                await asyncio.wait({call})
                await publishing
            await reader.until_read(20)

        assert reader.values(rig.shard()) == [str(n) for n in range(20)]

    async def test_begin_again_goes_back(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        async with reading(rig) as reader:
            await reader.until_read(3)
            reader.log.begin(rig.shard(), 1)
            await reader.until_read(5)
            await reader.nothing_more()

        assert reader.values(rig.shard()) == ["a", "b", "c", "b", "c"]

    async def test_begin_again_goes_forth(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c", "d"])
        async with reading(rig) as reader:
            reader.log.begin(rig.shard(), 2)
            await reader.until_read(2)
            await reader.nothing_more()

        assert reader.values(rig.shard()) == ["c", "d"]

    async def test_begin_while_a_call_waits_hands_out_all_from_there(self, rig: Rig) -> None:
        """A call that was on its way must not take along what the new beginning is owed."""
        values = [str(n) for n in range(10)]
        await publish(rig, values)
        async with reading(rig) as reader:
            await reader.until_read(10)
            for turn in range(1, 11):
                waiting = asyncio.ensure_future(reader.step(seconds=rig.patience))
                await asyncio.sleep(0.005 * turn)
                reader.log.begin(rig.shard(), 0)
                await waiting
                await reader.until_read(10 * (turn + 1))

        assert reader.values(rig.shard()) == values * 11

    async def test_begin_of_a_shard_that_is_not_ours_is_ignored(self, rig: Rig) -> None:
        await publish(rig, ["one"])
        async with reading(rig) as reader:
            reader.log.begin(Shard("somebody-else-s", 0), 0)
            await reader.until_read(1)
            await reader.nothing_more()

        assert [one.shard for one in reader.records] == [rig.shard()]

    async def test_there_is_no_position_before_the_first_commit(self, rig: Rig) -> None:
        async with reading(rig) as reader:
            position = await reader.log.committed(rig.shard())

        assert position is None

    async def test_a_committed_position_is_read_back_with_its_note(self, rig: Rig) -> None:
        await publish(rig, ["a", "b"])
        async with reading(rig) as reader:
            await reader.log.commit({rig.shard(0): Position(2, "1 7 9"), rig.shard(1): Position(0)})
            positions = [await reader.log.committed(rig.shard(n)) for n in (0, 1, 2)]

        assert positions == [Position(2, "1 7 9"), Position(0, ""), None]

    async def test_committing_again_replaces_position_and_note(self, rig: Rig) -> None:
        await publish(rig, ["a", "b"])
        async with reading(rig) as reader:
            await reader.log.commit({rig.shard(): Position(1, "1 1 1")})
            await reader.log.commit({rig.shard(): Position(1, "1 2 2")})
            moved_note = await reader.log.committed(rig.shard())
            await reader.log.commit({rig.shard(): Position(2, "1 3 3")})
            moved_on = await reader.log.committed(rig.shard())

        assert moved_note == Position(1, "1 2 2")
        assert moved_on == Position(2, "1 3 3")

    async def test_committing_nothing_is_nothing(self, rig: Rig) -> None:
        async with reading(rig) as reader:
            await reader.log.commit({})
            position = await reader.log.committed(rig.shard())

        assert position is None

    async def test_the_next_process_of_the_group_goes_on_at_the_commit(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        async with reading(rig) as reader:
            await reader.until_read(3)
            await reader.log.commit({rig.shard(): Position(2, "note")})
        async with reading(rig) as heir:
            position = await heir.log.committed(rig.shard())
            await heir.until_read(1)
            await heir.nothing_more()

        assert position == Position(2, "note")
        assert heir.values(rig.shard()) == ["c"]

    async def test_what_a_vanished_process_did_not_commit_comes_again(self, rig: Rig) -> None:
        await publish(rig, ["a", "b"])
        async with reading(rig) as reader:
            await reader.until_read(2)
        async with reading(rig) as heir:
            await heir.until_read(2)

        assert heir.values(rig.shard()) == ["a", "b"]

    async def test_two_groups_do_not_touch_each_other(self, rig: Rig) -> None:
        await publish(rig, ["a", "b"])
        async with reading(rig, "email") as email, reading(rig, "sms") as sms:
            await email.until_read(2)
            await email.log.commit({rig.shard(): Position(2)})
            position = await sms.log.committed(rig.shard())
            await sms.until_read(2)

        assert position is None
        assert sms.values(rig.shard()) == ["a", "b"]

    async def test_bounds_are_the_first_offset_and_the_next(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        async with reading(rig) as reader:
            bounds = await reader.log.bounds({rig.shard(0), rig.shard(1)})

        assert dict(bounds) == {rig.shard(0): Bounds(0, 3), rig.shard(1): Bounds(0, 0)}

    async def test_bounds_move_when_retention_deletes(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        await rig.forget(rig.shard(), 2)
        async with reading(rig) as reader:
            some = await reader.log.bounds({rig.shard()})
            await rig.forget(rig.shard(), 3)
            none = await reader.log.bounds({rig.shard()})

        assert some[rig.shard()] == Bounds(2, 3)
        assert none[rig.shard()] == Bounds(3, 3)

    async def test_retention_that_overtook_us_is_told_and_the_rest_follows(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        await rig.forget(rig.shard(), 2)
        async with reading(rig) as reader:
            await reader.until_read(1)
            await reader.nothing_more()

        told = [event for event in reader.events if isinstance(event, Overtaken | Fetched)]
        assert told[0] == Overtaken(rig.shard(), 2)
        assert len(told) == 2
        assert reader.values(rig.shard()) == ["c"]

    async def test_begin_where_retention_left_off_hands_nothing_out_twice(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        await rig.forget(rig.shard(), 1)
        async with reading(rig) as reader:
            await reader.until(lambda: Overtaken(rig.shard(), 1) in reader.events)
            reader.log.begin(rig.shard(), 1)
            await reader.until_read(2)
            await reader.nothing_more()

        assert reader.values(rig.shard()) == ["b", "c"]

    async def test_one_record_can_be_looked_at_without_reading(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        async with reading(rig) as reader:
            seen = await reader.log.peek(rig.shard(), 1)
            await reader.until_read(3)
            await reader.log.peek(rig.shard(), 0)
            await reader.nothing_more()

        assert seen == reader.records[1]
        assert reader.values(rig.shard()) == ["a", "b", "c"]

    async def test_a_record_can_be_looked_at_before_anything_is_read(self, rig: Rig) -> None:
        await publish(rig, ["a"])
        async with rig.log(GROUP) as log, asyncio.timeout(rig.patience):
            while not isinstance(await log.next_event(frozenset(), 1, 0.1), Assigned):
                pass
            seen = await log.peek(rig.shard(), 0)

        assert seen is not None
        assert (seen.offset, seen.value) == (0, b"a")

    async def test_where_the_log_has_no_record_there_is_nothing_to_look_at(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        await rig.forget(rig.shard(), 1)
        async with reading(rig) as reader:
            seen = [await reader.log.peek(rig.shard(), offset) for offset in (0, 1, 2, 3, 99)]
            empty = await reader.log.peek(rig.shard(1), 0)

        assert [one.value if one else None for one in seen] == [None, b"b", b"c", None, None]
        assert empty is None

    async def test_what_is_reached_is_the_offset_read_next(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        async with reading(rig) as reader:
            reader.log.begin(rig.shard(), 1)
            begun = reader.log.reached(rig.shard())
            await reader.until_read(2)
            read = reader.log.reached(rig.shard())
            reader.log.begin(rig.shard(), 0)
            back = reader.log.reached(rig.shard())

        assert (begun, read, back) == (1, 3, 0)

    async def test_what_is_reached_is_past_what_retention_took(self, rig: Rig) -> None:
        await publish(rig, ["a", "b", "c"])
        await rig.forget(rig.shard(), 3)
        async with reading(rig) as reader:
            await reader.until(lambda: reader.log.reached(rig.shard()) == 3)

        assert reader.records == []

    async def test_nothing_is_reached_of_a_shard_that_is_not_begun_or_not_ours(self, rig: Rig) -> None:
        held: set[Shard] = set()
        async with rig.log(GROUP) as log, asyncio.timeout(rig.patience):
            while held != rig.shards():
                event = await log.next_event(rig.shards(), 10, 0.1)
                held |= event.shards if isinstance(event, Assigned) else set()
            not_begun = log.reached(rig.shard())
            log.begin(Shard("somebody-else-s", 0), 0)
            not_ours = log.reached(Shard("somebody-else-s", 0))

        assert not_begun is None
        assert not_ours is None

    async def test_it_is_ready_once_it_has_joined(self, rig: Rig) -> None:
        async with reading(rig) as reader:
            await eventually_ready(reader.log, rig.patience)
            reason = await reader.log.unready()

        assert reason is None


class RebalanceContract:
    """For logs whose shards are dealt out among the living processes of a group."""

    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_a_second_process_takes_its_part(self, rig: Rig) -> None:
        async with reading(rig) as first, rig.log(GROUP) as log:
            second = Reader(log, rig.patience)
            await both_until(first, second, lambda: bool(second.held) and bool(first.held))

        assert first.held | second.held == rig.shards()
        assert not first.held & second.held

    async def test_what_is_taken_away_is_announced_first(self, rig: Rig) -> None:
        async with reading(rig) as first, rig.log(GROUP) as log:
            first.obliging = False
            second = Reader(log, rig.patience)
            await both_until(first, second, lambda: not first.held)
            early = set(second.held)

        revoking = first.events[-1]
        assert isinstance(revoking, Revoking)
        assert revoking.shards == rig.shards()
        assert revoking.seconds > 0
        assert early == set()

    async def test_what_is_committed_before_release_is_where_the_next_owner_begins(self, rig: Rig) -> None:
        await publish(rig, ["a", "b"])
        async with reading(rig) as first:
            await first.until_read(2)
            first.obliging = False
            async with rig.log(GROUP) as log:
                second = Reader(log, rig.patience)
                await both_until(first, second, lambda: not first.held)
                await first.log.commit({rig.shard(): Position(1, "handed over")})
                await first.log.release(rig.shards())
                first.obliging = True
                await both_until(first, second, lambda: first.held | second.held == rig.shards())
                owner = first if rig.shard() in first.held else second
                position = await owner.log.committed(rig.shard())

        assert position == Position(1, "handed over")

    async def test_a_commit_after_release_is_left_out(self, rig: Rig) -> None:
        async with reading(rig) as first, rig.log(GROUP) as log:
            second = Reader(log, rig.patience)
            await both_until(first, second, lambda: bool(second.held) and bool(first.held))
            others = min(second.held)
            await first.log.commit({others: Position(5, "not mine")})
            position = await second.log.committed(others)

        assert position is None

    async def test_begin_of_a_shard_taken_away_is_ignored(self, rig: Rig) -> None:
        async with reading(rig) as first, rig.log(GROUP) as log:
            second = Reader(log, rig.patience)
            await both_until(first, second, lambda: bool(second.held) and bool(first.held))
            others = min(second.held)
            first.log.begin(others, 0)
            async with rig.publisher() as publisher:
                await publisher.publish([record(others, "one")])
            await both_until(first, second, lambda: bool(second.records))
            first.held.add(others)
            await first.nothing_more()

        assert first.records == []
        assert [one.shard for one in second.records] == [others]

    async def test_nothing_is_reached_of_a_shard_taken_away(self, rig: Rig) -> None:
        async with reading(rig) as first, rig.log(GROUP) as log:
            second = Reader(log, rig.patience)
            await both_until(first, second, lambda: bool(second.held) and bool(first.held))
            gone, kept = min(rig.shards() - first.held), min(first.held)
            reached = [first.log.reached(gone), first.log.reached(kept)]

        assert reached == [None, 0]

    async def test_release_twice_is_harmless(self, rig: Rig) -> None:
        async with reading(rig) as first, rig.log(GROUP) as log:
            second = Reader(log, rig.patience)
            await both_until(first, second, lambda: bool(second.held) and bool(first.held))
            await first.log.release(rig.shards() - first.held)
            await first.nothing_more()

        assert first.held | second.held == rig.shards()

    async def test_who_stays_gets_the_shards_of_who_leaves(self, rig: Rig) -> None:
        async with reading(rig) as first:
            async with rig.log(GROUP) as log:
                second = Reader(log, rig.patience)
                await both_until(first, second, lambda: bool(second.held) and bool(first.held))
            await first.until_held(rig.shards())

        assert first.held == rig.shards()

    async def test_who_does_not_answer_loses_its_shards_all_the_same(self, rig: Rig) -> None:
        async with reading(rig) as first, rig.log(GROUP) as log:
            first.obliging = False
            second = Reader(log, rig.patience)
            await both_until(first, second, lambda: not first.held)
            revoking = first.events[-1]
            assert isinstance(revoking, Revoking)
            first.patience = second.patience = revoking.seconds + rig.patience
            await both_until(first, second, lambda: bool(second.held))

        assert second.held <= rig.shards()

    async def test_nothing_is_lost_and_order_holds_when_shards_move(self, rig: Rig) -> None:
        values = [str(n) for n in range(20)]
        async with reading(rig) as first:
            await publish(rig, values[:10])
            async with rig.log(GROUP) as log:
                second = Reader(log, rig.patience)
                await both_until(first, second, lambda: bool(second.held) and bool(first.held))
                owner = first if rig.shard() in first.held else second
                await publish(rig, values[10:])
                await both_until(first, second, lambda: owner.values(rig.shard())[-1:] == ["19"])

        assert owner.values(rig.shard())[-20:] == values
