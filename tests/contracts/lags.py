"""What every `GroupLags` keeps."""

import asyncio

import pytest

from domain.errors import LogUnavailable
from domain.lag import PutOff
from domain.ledger import Deferral, Tombstone
from domain.log import Bounds, Position, Record, Shard
from tests.contracts.rig import PARTITIONS, Rig, new_name
from tests.contracts.status import Story

TIME = 1_800_000_000.0


def put(shard: Shard, offset: int, taken_at: float) -> Deferral:
    return Deferral(record=Record(shard, offset, b"k", b"{}", (), taken_at))


class GroupLagsContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    @pytest.fixture
    def story(self, rig: Rig) -> Story:
        return Story(rig)

    async def test_a_group_that_never_committed_has_no_position(self, rig: Rig, story: Story) -> None:
        shard = rig.shard(1)
        for request_id in ("a", "b"):
            await story.publish(request_id, shard)

        async with rig.lags() as lags:
            [standing] = await lags.standings("email", [shard])

        assert (standing.shard, standing.bounds, standing.position) == (shard, Bounds(0, 2), None)
        assert standing.waits_since is not None

    async def test_a_position_is_told_with_its_note_and_since_when_the_next_record_waits(
        self, rig: Rig, story: Story
    ) -> None:
        shard = rig.shard(0)
        await story.publish("a", shard)
        await asyncio.sleep(0.01)
        await story.publish("b", shard)
        await story.commit("email", shard, 1)

        async with rig.lags() as lags:
            [before] = await lags.standings("sms", [shard])
            [standing] = await lags.standings("email", [shard])

        assert standing.position == Position(1, "1 0 0")
        assert standing.bounds == Bounds(0, 2)
        assert before.waits_since is not None
        assert standing.waits_since is not None
        assert standing.waits_since > before.waits_since

    async def test_a_group_that_has_finished_all_waits_for_nothing(self, rig: Rig, story: Story) -> None:
        shard = rig.shard(0)
        await story.publish("a", shard)
        await story.commit("email", shard, 1)

        async with rig.lags() as lags:
            [standing] = await lags.standings("email", [shard])

        assert (standing.bounds.end, standing.waits_since) == (1, None)

    async def test_the_shards_come_in_the_order_asked_for(self, rig: Rig) -> None:
        shards = [rig.shard(2), Shard(rig.other_topic, 0), rig.shard(0)]

        async with rig.lags() as lags:
            standings = await lags.standings("email", shards)

        assert [standing.shard for standing in standings] == shards

    async def test_what_is_put_off_is_counted_and_its_oldest_told(self, rig: Rig, story: Story) -> None:
        shard, other = rig.shard(0), rig.shard(1)
        await story.write("email", shard, [put(shard, 4, TIME + 5), put(shard, 5, TIME + 1)])
        await story.write("email", shard, [put(shard, 6, TIME), Tombstone(6), put(shard, 4, TIME + 5)])
        await story.write("email", other, [put(other, 4, TIME)])

        async with rig.lags() as lags:
            found = await lags.put_off("email", {shard: 0, other: 0})
            nothing = await lags.put_off("sms", {shard: 0})

        assert found == {shard: PutOff(2, TIME + 1), other: PutOff(1, TIME)}
        assert nothing == {shard: PutOff(0, None)}

    async def test_what_is_put_off_is_told_as_it_is_now_however_often_it_is_asked(
        self, rig: Rig, story: Story
    ) -> None:
        shard = rig.shard(0)
        asked: list[PutOff] = []
        async with rig.lags() as lags:
            for notes in ([put(shard, 4, TIME)], [put(shard, 5, TIME + 1)], [Tombstone(4)], []):
                await story.write("email", shard, notes)
                asked.append((await lags.put_off("email", {shard: 0}))[shard])
            later = (await lags.put_off("email", {shard: 2}))[shard]
            again = (await lags.put_off("email", {shard: 0}))[shard]

        assert asked == [PutOff(1, TIME), PutOff(2, TIME), PutOff(1, TIME + 1), PutOff(1, TIME + 1)]
        # Before that position nothing is open any more, whoever says so.
        assert later == PutOff(0, None)
        assert again == PutOff(1, TIME + 1)

    async def test_a_topic_that_is_not_made_yet_is_told_by_its_name(self, rig: Rig) -> None:
        not_made = new_name()

        async with rig.lags() as lags:
            with pytest.raises(LogUnavailable, match=not_made):
                await lags.standings("email", [Shard(not_made, 0)])

    async def test_a_log_that_does_not_answer_says_so(self, rig: Rig) -> None:
        async with rig.unreachable_lags() as lags:
            with pytest.raises(LogUnavailable):
                await lags.standings("email", [rig.shard(PARTITIONS - 1)])
