"""What every `GroupBacklog` keeps."""

import pytest

from domain.errors import LogUnavailable
from domain.ledger import Deferral, LedgerRecord, Places, State, Tombstone, digest_of
from domain.log import Record, Shard
from domain.view_ports import GroupBacklog
from tests.contracts.rig import Rig, record

TIME = 1_800_000_000.0


def ended(offset: int) -> LedgerRecord:
    return LedgerRecord(offset, f"id-{offset}", digest_of(b"{}"), State.SENT, offset, TIME)


def put(shard: Shard, offset: int) -> Deferral:
    return Deferral(record=Record(shard, offset, b"k", b"{}", (), TIME), due=TIME + 60)


async def offsets(backlog: GroupBacklog, shard: Shard, first: int, end: int) -> list[int]:
    return [one.offset async for some in backlog.records(shard, first, end) for one in some]


class GroupBacklogContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_the_notes_are_the_groups_own_while_it_goes_on_writing(self, rig: Rig) -> None:
        shard = rig.shard(1)
        async with rig.ledger("email") as ledger, rig.backlog() as backlog:
            await ledger.write(shard, [ended(3), put(shard, 4), ended(5), put(shard, 6), Tombstone(6)])
            found = [one.note async for some in backlog.notes("email", shard, Places(1, 0)) for one in some]
            others = [some async for some in backlog.notes("sms", shard, Places(0, 0))]
            elsewhere = [some async for some in backlog.notes("email", rig.shard(0), Places(0, 0))]

        assert found[0] == ended(5)
        assert put(shard, 4) in found
        assert [some for some in (*others, *elsewhere) if some] == []

    async def test_the_records_of_a_stretch_are_whole_and_in_order(self, rig: Rig) -> None:
        shard = rig.shard(2)
        async with rig.publisher() as publisher, rig.backlog() as backlog:
            await publisher.publish([record(shard, f"{number}", "key") for number in range(5)])
            found = [one async for some in backlog.records(shard, 1, 4) for one in some]
            nothing = await offsets(backlog, rig.shard(0), 0, 9)

        kept = await rig.read_all(shard)
        assert found == list(kept[1:4])
        assert nothing == []

    async def test_what_retention_took_is_missing(self, rig: Rig) -> None:
        shard = rig.shard(0)
        async with rig.publisher() as publisher:
            await publisher.publish([record(shard, f"{number}") for number in range(5)])
        await rig.forget(shard, 3)

        async with rig.backlog() as backlog:
            assert await offsets(backlog, shard, 0, 5) == [3, 4]

    async def test_a_log_that_does_not_answer_says_so(self, rig: Rig) -> None:
        async with rig.unreachable_backlog() as backlog:
            with pytest.raises(LogUnavailable):
                _ = [some async for some in backlog.notes("email", rig.shard(0), Places(0, 0))]
