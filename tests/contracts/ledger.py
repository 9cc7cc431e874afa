"""What every `DeliveryLedger` keeps."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from domain.errors import LogUnavailable
from domain.ledger import Deferral, Extent, LedgerRecord, Note, Places, State, Tombstone, Written
from domain.log import Bounds, Headers, Record, Shard
from domain.ports import DeliveryLedger
from tests.contracts.rig import PARTITIONS, Rig

GROUP = "email"
ALL = Places(0, 0)
HEADERS: Headers = (("content-type", b"application/json"), ("twice", b"\x00\xff"), ("twice", b""))
# A message that was put back carries some of these; another producer may invent any name.
LIKE_OURS: Headers = tuple(
    (f"herald-{name}", name.encode())
    for name in ("group", "replay", "request-id", "attempts", "uncertain", "due", "key", "version", "offset")
)


def entry(offset: int, state: State = State.SENT, at: float = 1_800_000_000.25) -> LedgerRecord:
    return LedgerRecord(
        offset=offset, request_id=f"r-{offset}", digest=offset + 1, state=state, attempts=1, low=offset, at=at
    )


def original(shard: Shard, offset: int, value: bytes = b'{"email": "ada@example.test"}') -> Record:
    return Record(shard, offset, b"\xfe key", value, HEADERS, 1_800_000_000.125)


def put(shard: Shard, offset: int, attempts: int = 3) -> Deferral:
    return Deferral(record=original(shard, offset), attempts=attempts, uncertain=1, due=1_800_003_600.5)


async def recalled(ledger: DeliveryLedger, shard: Shard, since: Places = ALL) -> list[Written]:
    return [written async for some in ledger.recall(shard, since) for written in some]


async def notes_of(ledger: DeliveryLedger, shard: Shard) -> list[Note]:
    return [written.note for written in await recalled(ledger, shard)]


def still_deferred(notes: Sequence[Note]) -> dict[int, Deferral]:
    """What is put off in the end, by offset: a later put replaces, a tombstone ends."""
    left: dict[int, Deferral] = {}
    for note in notes:
        if isinstance(note, Deferral):
            left[note.record.offset] = note
        elif isinstance(note, Tombstone):
            left.pop(note.offset, None)
    return left


def rises(positions: Sequence[int]) -> bool:
    return all(one < next_one for one, next_one in pairwise(positions))


class LedgerContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_each_note_is_recalled_at_its_position_the_ledger_first(self, rig: Rig) -> None:
        shard = rig.shard()
        notes: list[Note] = [put(shard, 7), entry(3), put(shard, 8), entry(4), entry(5, State.DEAD)]
        async with rig.ledger(GROUP) as ledger:
            positions = await ledger.write(shard, notes)
            found = await recalled(ledger, shard)

        written = [Written(at, note) for at, note in zip(positions, notes, strict=True)]
        assert found == [written[i] for i in (1, 3, 4, 0, 2)]

    @pytest.mark.parametrize("state", list(State))
    async def test_every_state_comes_back(self, rig: Rig, state: State) -> None:
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(rig.shard(), [entry(3, state)])
            found = await notes_of(ledger, rig.shard())

        assert found == [entry(3, state)]

    @pytest.mark.parametrize("digest", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
    async def test_a_digest_of_any_size_comes_back(self, rig: Rig, digest: int) -> None:
        note = LedgerRecord(offset=0, request_id="r", digest=digest, state=State.SENT, low=0, at=0.0)
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(rig.shard(), [note])
            found = await notes_of(ledger, rig.shard())

        assert found == [note]

    async def test_every_field_of_an_entry_comes_back(self, rig: Rig) -> None:
        note = LedgerRecord(
            offset=2**40 - 1,
            request_id="A-z.0_9:" * 16,
            digest=12_345_678_901_234_567_890,
            state=State.UNCERTAIN,
            attempts=50,
            uncertain=3,
            reason="451 greylisted \N{EM DASH} \N{SNOWMAN} try later",
            provider_id="\N{LATIN SMALL LETTER U WITH DIAERESIS}-\N{SNOWMAN}-\N{GRINNING FACE}",
            low=2**40 - 2,
            at=1_800_000_000.123456,
        )
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(rig.shard(), [note])
            found = await notes_of(ledger, rig.shard())

        assert found == [note]

    @pytest.mark.parametrize("key", [None, b"", b"\x00\xff key"])
    @pytest.mark.parametrize("value", [b"", b"\x00 value \xff"])
    @pytest.mark.parametrize("headers", [(), HEADERS, LIKE_OURS], ids=["none", "plain", "like-ours"])
    async def test_a_deferred_record_comes_back_byte_for_byte(
        self, rig: Rig, key: bytes | None, value: bytes, headers: Headers
    ) -> None:
        record = Record(rig.shard(2), 41, key, value, headers, 1_800_000_000.125)
        note = Deferral(record=record, attempts=7, uncertain=2, due=1_800_000_060.75)
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(rig.shard(2), [note])
            found = await notes_of(ledger, rig.shard(2))

        assert found == [note]

    async def test_one_that_only_waits_for_its_key_has_neither_attempts_nor_a_due_time(
        self, rig: Rig
    ) -> None:
        note = Deferral(record=original(rig.shard(), 0))
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(rig.shard(), [note])
            found = await notes_of(ledger, rig.shard())

        assert found == [note]

    async def test_a_large_message_is_deferred_whole(self, rig: Rig) -> None:
        note = Deferral(record=original(rig.shard(), 1, bytes(range(250)) * 4_000), due=1.5)
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(rig.shard(), [note])
            found = await notes_of(ledger, rig.shard())

        assert found == [note]

    async def test_positions_rise_from_call_to_call_and_over_a_restart(self, rig: Rig) -> None:
        shard = rig.shard()
        entries: list[int] = []
        deferrals: list[int] = []
        for start in range(2):
            async with rig.ledger(GROUP) as ledger:
                for n in (start * 10, start * 10 + 5):
                    one, two, three, four = await ledger.write(
                        shard, [entry(n), put(shard, n), Tombstone(n), entry(n + 1)]
                    )
                    entries += [one, four]
                    deferrals += [two, three]

        assert rises(entries)
        assert rises(deferrals)

    async def test_another_process_recalls_what_this_one_wrote(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, [entry(1), put(shard, 2)])
        async with rig.ledger(GROUP) as heir:
            found = await notes_of(heir, shard)

        assert found == [entry(1), put(shard, 2)]

    async def test_recall_begins_at_the_positions_asked_for(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, [entry(n) for n in range(4)])
            await ledger.write(shard, [put(shard, n) for n in range(4)])
            whole = await recalled(ledger, shard)
            entries, deferrals = whole[:4], whole[4:]
            for i in range(4):
                for j in range(4):
                    since = Places(entries[i].position, deferrals[j].position)
                    assert await recalled(ledger, shard, since) == entries[i:] + deferrals[j:]

    async def test_nothing_is_recalled_from_the_end_on(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, [entry(1), put(shard, 2)])
            extent = await ledger.extent(shard)
            found = await recalled(ledger, shard, Places(extent.ledger.end, extent.deferred.end))
            later = await ledger.write(shard, [entry(3), put(shard, 4)])
            fresh = await recalled(ledger, shard, Places(extent.ledger.end, extent.deferred.end))

        assert found == []
        assert fresh == [Written(later[0], entry(3)), Written(later[1], put(shard, 4))]

    async def test_much_is_recalled_in_slices(self, rig: Rig) -> None:
        shard = rig.shard()
        notes = [entry(n) for n in range(3_000)]
        async with rig.ledger(GROUP) as ledger:
            positions = await ledger.write(shard, notes)
            slices = [len(some) async for some in ledger.recall(shard, ALL)]
            found = await recalled(ledger, shard)

        assert found == [Written(at, note) for at, note in zip(positions, notes, strict=True)]
        assert sum(slices) == 3_000
        assert max(slices) < 2_000

    async def test_what_is_written_while_it_recalls_disturbs_nothing(self, rig: Rig) -> None:
        shard, other = rig.shard(0), rig.shard(1)
        before = [entry(n) for n in range(500)]
        found: list[Note] = []
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, before)
            async for some in ledger.recall(shard, ALL):
                found += [written.note for written in some]
                if len(found) < 1_000:
                    await ledger.write(other, [entry(7)])

        assert found == before

    async def test_of_several_puts_of_one_message_the_last_one_holds(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, [put(shard, 1, attempts=1), put(shard, 2, attempts=1)])
            await ledger.write(shard, [put(shard, 1, attempts=2)])
            found = await notes_of(ledger, shard)

        assert still_deferred(found) == {1: put(shard, 1, attempts=2), 2: put(shard, 2, attempts=1)}

    async def test_an_older_put_does_not_hide_behind_where_recall_begins(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, [put(shard, 1, attempts=1), put(shard, 2)])
            [latest] = await ledger.write(shard, [put(shard, 1, attempts=2)])
            found = await recalled(ledger, shard, Places(0, latest))

        assert found == [Written(latest, put(shard, 1, attempts=2))]

    async def test_a_tombstone_ends_a_deferral_and_no_other(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, [put(shard, 1), put(shard, 2)])
            await ledger.write(shard, [Tombstone(1), Tombstone(9)])
            left = still_deferred(await notes_of(ledger, shard))

        assert left == {2: put(shard, 2)}

    async def test_a_message_may_be_put_again_after_its_tombstone(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, [put(shard, 1), Tombstone(1), put(shard, 1, attempts=9)])
            left = still_deferred(await notes_of(ledger, shard))

        assert left == {1: put(shard, 1, attempts=9)}

    async def test_writing_again_after_a_lost_answer_says_the_same(self, rig: Rig) -> None:
        shard = rig.shard()
        notes = [put(shard, 1), put(shard, 2), Tombstone(2), entry(3)]
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, notes)
            await ledger.write(shard, notes)
            found = await notes_of(ledger, shard)

        assert [note for note in found if isinstance(note, LedgerRecord)] == [entry(3), entry(3)]
        assert still_deferred(found) == {1: put(shard, 1)}

    async def test_writing_nothing_is_nothing(self, rig: Rig) -> None:
        async with rig.ledger(GROUP) as ledger:
            positions = await ledger.write(rig.shard(), [])
            extent = await ledger.extent(rig.shard())

        assert list(positions) == []
        assert extent == Extent(Bounds(0, 0), Bounds(0, 0))

    async def test_a_shard_never_written_of_reaches_from_0_to_0(self, rig: Rig) -> None:
        async with rig.ledger(GROUP) as ledger:
            extent = await ledger.extent(rig.shard())
            found = await recalled(ledger, rig.shard())

        assert extent == Extent(Bounds(0, 0), Bounds(0, 0))
        assert found == []

    async def test_the_extent_reaches_past_the_last_note(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            first, *_, last = await ledger.write(shard, [entry(n) for n in range(3)])
            first_put, *_, last_put = await ledger.write(shard, [put(shard, n) for n in range(5)])
            extent = await ledger.extent(shard)

        assert extent.ledger.first <= first
        assert extent.ledger.end > last
        assert extent.deferred.first <= first_put
        assert extent.deferred.end > last_put

    async def test_the_end_of_the_deferrals_outlives_them(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            _, tombstone = await ledger.write(shard, [put(shard, 1), Tombstone(1)])
        async with rig.ledger(GROUP) as heir:
            extent = await heir.extent(shard)
            [later] = await heir.write(shard, [put(shard, 2)])

        assert extent.deferred.end > tombstone
        assert later >= extent.deferred.end

    async def test_recall_begins_with_what_retention_left(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            positions = await ledger.write(shard, [entry(n) for n in range(3)])
        await rig.forget_ledger(GROUP, shard, positions[2])
        async with rig.ledger(GROUP) as heir:
            found = await recalled(heir, shard)
            extent = await heir.extent(shard)

        assert found == [Written(positions[2], entry(2))]
        assert extent.ledger.first == positions[2]

    async def test_the_end_of_the_ledger_outlives_retention(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(shard, [entry(n) for n in range(3)])
            before = await ledger.extent(shard)
        await rig.forget_ledger(GROUP, shard, before.ledger.end)
        async with rig.ledger(GROUP) as heir:
            after = await heir.extent(shard)
            found = await recalled(heir, shard)
            [later] = await heir.write(shard, [entry(3)])

        assert after.ledger == Bounds(before.ledger.end, before.ledger.end)
        assert found == []
        assert later >= after.ledger.end

    async def test_two_groups_do_not_see_each_others_notes(self, rig: Rig) -> None:
        shard = rig.shard()
        async with rig.ledger("email") as email, rig.ledger("sms") as sms:
            await email.write(shard, [entry(1), put(shard, 2)])
            extent = await sms.extent(shard)
            await sms.write(shard, [entry(8), Tombstone(2)])
            found = await notes_of(email, shard)

        assert extent == Extent(Bounds(0, 0), Bounds(0, 0))
        assert found == [entry(1), put(shard, 2)]

    async def test_two_shards_do_not_see_each_others_notes(self, rig: Rig) -> None:
        here, there = rig.shard(0), Shard(rig.other_topic, 0)
        async with rig.ledger(GROUP) as ledger:
            await ledger.write(here, [entry(1), put(here, 2)])
            await ledger.write(there, [entry(8), put(there, 9), Tombstone(2)])
            found = [await notes_of(ledger, shard) for shard in (here, there)]

        assert found[0] == [entry(1), put(here, 2)]
        assert found[1][0] == entry(8)
        assert still_deferred(found[1]) == {9: put(there, 9)}

    async def test_shards_may_be_written_at_the_same_time(self, rig: Rig) -> None:
        shards = [rig.shard(partition) for partition in range(PARTITIONS)]

        async def write(ledger: DeliveryLedger, shard: Shard) -> None:
            for n in range(20):
                await ledger.write(shard, [entry(n), put(shard, n)])

        async with rig.ledger(GROUP) as ledger:
            await asyncio.gather(*(write(ledger, shard) for shard in shards))
            found = {shard: await recalled(ledger, shard) for shard in shards}

        for shard in shards:
            notes = [written.note for written in found[shard]]
            assert notes == [*(entry(n) for n in range(20)), *(put(shard, n) for n in range(20))]
            assert rises([written.position for written in found[shard][:20]])
            assert rises([written.position for written in found[shard][20:]])

    async def test_notes_that_are_not_confirmed_are_an_error(self, rig: Rig) -> None:
        async with rig.unreachable_ledger(GROUP) as ledger:
            with pytest.raises(LogUnavailable):
                await ledger.write(rig.shard(), [entry(1), put(rig.shard(), 2)])

    async def test_an_extent_that_cannot_be_learnt_is_an_error(self, rig: Rig) -> None:
        async with rig.unreachable_ledger(GROUP) as ledger:
            with pytest.raises(LogUnavailable):
                await ledger.extent(rig.shard())

    async def test_a_recall_that_cannot_be_answered_is_an_error_and_not_an_empty_ledger(
        self, rig: Rig
    ) -> None:
        async with rig.unreachable_ledger(GROUP) as ledger:
            with pytest.raises(LogUnavailable):
                await recalled(ledger, rig.shard())
