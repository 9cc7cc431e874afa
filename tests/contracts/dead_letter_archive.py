"""What every `DeadLetterArchive` keeps."""

from dataclasses import replace
from typing import Any

import pytest

from domain.dead_letter import (
    DeadLetter,
    KeptLetter,
    LetterFilter,
    LetterPlace,
    LetterTally,
    parse_place,
)
from domain.errors import HeraldError
from domain.log import Headers, Record, Shard
from domain.outcome import DeadLetterReason
from domain.ports import DeadLetterArchive
from tests.contracts.rig import Rig

HEADERS: Headers = (("content-type", b"application/json"), ("twice", b"\x00\xff"), ("twice", b""))
EVERY = LetterFilter()
NOON = 1_800_000_000.25


def letter(rig: Rig, offset: int = 7, after: float = 0.0, **changes: Any) -> DeadLetter:
    """One that failed `after` so many seconds; `changes` are fields of it, or of its record."""
    of_record = {name: changes.pop(name) for name in ("key", "value", "headers", "shard") if name in changes}
    record = Record(rig.shard(2), offset, b"\xfe key", b'{"request_id": "r-1"}', HEADERS, 0.0)
    return replace(
        DeadLetter(
            record=record._replace(**of_record),
            group="email",
            reason=DeadLetterReason.REFUSED,
            error="550 no such user \N{EM DASH} refused for good",
            attempts=3,
            failed_at=NOON + after,
        ),
        **changes,
    )


async def keep(rig: Rig, *letters: DeadLetter) -> None:
    """As the letters' own groups do, and in their order."""
    for group in sorted({one.group for one in letters}):
        async with rig.dead_letters(group) as dead_letters:
            for one in letters:
                if one.group == group:
                    await dead_letters.keep(one)


async def only(archive: DeadLetterArchive, wanted: LetterFilter = EVERY) -> KeptLetter:
    [kept] = (await archive.find(wanted)).letters
    return kept


async def found(rig: Rig, wanted: LetterFilter) -> list[tuple[str, int]]:
    async with rig.archive() as archive:
        page = await archive.find(wanted)
    return [(kept.letter.group, kept.letter.record.offset) for kept in page.letters]


def timeless(one: DeadLetter) -> DeadLetter:
    """When the original was taken is not kept everywhere."""
    return replace(one, record=one.record._replace(timestamp=0.0))


class DeadLetterArchiveContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    # Looking ----------------------------------------------------------------------------------

    async def test_where_nothing_died_nothing_is_found(self, rig: Rig) -> None:
        async with rig.archive() as archive:
            page = await archive.find(EVERY)
            nobody = await archive.get(f"{rig.topic}.email-0-7")
            nonsense = await archive.get("no id at all")

        assert (list(page.letters), page.next) == ([], None)
        assert (nobody, nonsense) == (None, None)

    async def test_a_letter_is_found_with_all_that_was_kept(self, rig: Rig) -> None:
        await keep(rig, letter(rig))
        async with rig.archive() as archive:
            kept = await only(archive)
            same = await archive.get(kept.id)

        assert timeless(kept.letter) == letter(rig)
        assert kept.id == f"{rig.topic}.email-2-7"
        assert (kept.request_id, kept.replays, kept.replayed, kept.is_parked) == ("r-1", 0, None, False)
        assert same == kept

    @pytest.mark.parametrize("value", [None, b"", b"\x00 value \xff", b"{}"])
    async def test_a_letter_without_an_id_is_named_for_its_place(self, rig: Rig, value: bytes | None) -> None:
        await keep(rig, letter(rig, value=value, key=None, reason=DeadLetterReason.UNDECODABLE))
        async with rig.archive() as archive:
            kept = await only(archive)

        assert kept.request_id == f"{rig.topic}-2-7"
        assert (kept.letter.record.value, kept.letter.record.key) == (value, None)

    async def test_headers_that_look_like_herald_s_own_stay_the_original_s(self, rig: Rig) -> None:
        names = ("reason", "failed-at", "replayed", "offset", "topic")
        headers = tuple((f"herald-{name}", b"another producer's") for name in names)
        await keep(rig, letter(rig, headers=headers), letter(rig, 8, headers=headers, value=None))
        async with rig.archive() as archive:
            page = await archive.find(EVERY)

        assert [kept.letter.record.headers for kept in page.letters] == [headers, headers]

    async def test_a_letter_that_was_kept_twice_is_one(self, rig: Rig) -> None:
        await keep(rig, letter(rig), letter(rig))

        assert await found(rig, EVERY) == [("email", 7)]

    async def test_of_a_record_that_failed_anew_the_last_letter_is_shown(self, rig: Rig) -> None:
        again = letter(rig, after=60, reason=DeadLetterReason.UNCERTAIN)
        await keep(rig, letter(rig), again)
        async with rig.archive() as archive:
            kept = await only(archive)
            same = await archive.get(kept.id)

        assert timeless(kept.letter) == again
        assert same == kept

    @pytest.mark.parametrize(
        ("wanted", "offsets"),
        [
            ({"group": "sms"}, [4]),
            ({"group": "nobody"}, []),
            ({"topics": {"other"}}, [5]),
            ({"topics": {"topic", "other"}}, [1, 2, 3, 4, 5]),
            ({"topics": {"nothing"}}, []),
            ({"reason": "invalid"}, [2, 5]),
            ({"key": "k-3"}, [3]),
            ({"key": "k"}, []),
            ({"since": NOON + 2}, [2, 3, 4, 5]),
            ({"until": NOON + 2}, [1]),
            ({"since": NOON + 2, "until": NOON + 4, "reason": "refused"}, [3]),
            ({"replayed": True}, []),
            ({"replayed": False}, [1, 2, 3, 4, 5]),
        ],
    )
    async def test_filters_narrow(self, rig: Rig, wanted: dict[str, Any], offsets: list[int]) -> None:
        other = rig.shard(0)._replace(topic=rig.other_topic)
        invalid = DeadLetterReason.INVALID
        await keep(
            rig,
            letter(rig, 1, 1),
            letter(rig, 2, 2, reason=invalid),
            letter(rig, 3, 3, key=b"k-3"),
            letter(rig, 4, 4, group="sms"),
            letter(rig, 5, 5, shard=other, reason=invalid),
        )
        names = {"topic": rig.topic, "other": rig.other_topic}
        if "topics" in wanted:
            wanted = wanted | {"topics": frozenset(names.get(name, name) for name in wanted["topics"])}

        assert [offset for _, offset in await found(rig, LetterFilter(**wanted))] == offsets

    async def test_letters_stand_in_the_order_of_failing_then_of_their_source(self, rig: Rig) -> None:
        early, later = letter(rig, 9, -60), letter(rig, 2, shard=rig.shard(0))
        await keep(rig, letter(rig, 8), letter(rig, 7), early, later, letter(rig, 7, group="sms"))

        assert await found(rig, EVERY) == [("email", 9), ("email", 2), ("email", 7), ("email", 8), ("sms", 7)]

    async def test_pages_show_each_letter_once_and_the_last_page_says_so(self, rig: Rig) -> None:
        letters = [letter(rig, n, n // 3, group=("email", "sms")[n % 2]) for n in range(12)]
        await keep(rig, *letters)
        seen: list[str] = []
        sizes: list[int] = []
        async with rig.archive() as archive:
            after: LetterPlace | None = None
            while not sizes or after is not None:
                page = await archive.find(EVERY, after=after, limit=5)
                seen += [kept.id for kept in page.letters]
                sizes.append(len(page.letters))
                after = None if page.next is None else parse_place(str(page.next))
            whole = await archive.find(EVERY, limit=12)

        assert sizes == [5, 5, 2]
        assert seen == [kept.id for kept in whole.letters]
        assert len(set(seen)) == 12
        assert whole.next is None

    async def test_what_is_kept_while_somebody_looks_is_found_by_the_next_look(self, rig: Rig) -> None:
        async with rig.archive() as archive, rig.dead_letters("email") as dead_letters:
            before = await archive.find(EVERY)
            await dead_letters.keep(letter(rig, 1))
            first = await archive.find(EVERY)
            await dead_letters.keep(letter(rig, 2, 1))
            second = await archive.find(EVERY)

        assert [len(page.letters) for page in (before, first, second)] == [0, 1, 2]

    async def test_a_log_that_cannot_be_asked_is_an_error(self, rig: Rig) -> None:
        await keep(rig, letter(rig))
        async with rig.unreachable_archive() as archive:
            with pytest.raises(HeraldError):
                await archive.find(EVERY)
            with pytest.raises(HeraldError):
                await archive.get(f"{rig.topic}.email-2-7")

    # Putting back -----------------------------------------------------------------------------

    async def test_the_original_is_put_back_byte_for_byte_for_its_group_alone(self, rig: Rig) -> None:
        await keep(rig, letter(rig))
        async with rig.archive() as archive:
            await archive.put_back(await only(archive), by="ada@ops")
        [record] = await rig.read_all(rig.shard(2))

        assert (record.key, record.value) == (b"\xfe key", b'{"request_id": "r-1"}')
        assert record.headers == (
            *HEADERS,
            ("herald-group", b"email"),
            ("herald-replay", b"1"),
            ("herald-request-id", b"r-1"),
        )

    async def test_who_put_it_back_and_when_is_kept_for_everybody(self, rig: Rig) -> None:
        await keep(rig, letter(rig), letter(rig, 8, 1))
        async with rig.archive() as archive:
            kept = await archive.get(f"{rig.topic}.email-2-7")
            assert kept is not None
            await archive.put_back(kept, by="ada@ops")
            here = await archive.get(kept.id)
        async with rig.archive() as other_process:
            there = await other_process.get(kept.id)
            replayed = await only(other_process, LetterFilter(replayed=True))
            open_one = await only(other_process, LetterFilter(replayed=False))

        assert here == there == replayed
        assert replayed.replayed is not None
        assert replayed.replayed.by == "ada@ops"
        assert replayed.replayed.at > NOON - 86_400 * 365
        assert (replayed.replays, replayed.is_parked) == (1, False)
        assert open_one.letter.record.offset == 8

    async def test_a_letter_put_back_twice_is_noted_as_one_replay(self, rig: Rig) -> None:
        await keep(rig, letter(rig))
        async with rig.archive() as archive:
            kept = await only(archive)
            await archive.put_back(kept, by="ada@ops")
            await archive.put_back(kept, by="ada@ops")
            again = await only(archive)
        records = await rig.read_all(rig.shard(2))

        assert again.replays == 1
        # What a command that was killed may leave twice says the same: the group takes one of them.
        assert {record.headers for record in records} == {records[0].headers}

    async def test_a_letter_of_the_same_record_that_fails_later_was_not_put_back(self, rig: Rig) -> None:
        await keep(rig, letter(rig))
        async with rig.archive() as archive:
            await archive.put_back(await only(archive), by="ada@ops")
        await keep(rig, letter(rig, after=60))
        async with rig.archive() as archive:
            kept = await only(archive)

        assert (kept.replayed, kept.replays) == (None, 1)

    async def test_what_dies_again_is_a_new_letter_that_counts_and_is_parked_in_the_end(
        self, rig: Rig
    ) -> None:
        await keep(rig, letter(rig, 100, value=b"{}"))
        lives = []
        async with rig.archive() as archive:
            for life in range(4):
                kept = await only(archive, LetterFilter(replayed=False))
                lives.append((kept.letter.record.offset, kept.request_id, kept.replays, kept.is_parked))
                await archive.put_back(kept, by="ada@ops")
                record = (await rig.read_all(rig.shard(2)))[-1]
                dead = letter(rig, record.offset, life + 1, headers=record.headers, value=b"{}")
                await keep(rig, dead)

        name = f"{rig.topic}-2-100"
        assert lives == [(100, name, 0, False), (0, name, 1, False), (1, name, 2, False), (2, name, 3, True)]
        last = (await rig.read_all(rig.shard(2)))[-1]
        assert last.headers[len(HEADERS) :] == (
            ("herald-group", b"email"),
            ("herald-replay", b"4"),
            ("herald-request-id", name.encode()),
        )

    async def test_who_took_another_s_id_is_put_back_under_its_own(self, rig: Rig) -> None:
        await keep(rig, letter(rig, reason=DeadLetterReason.REQUEST_ID_REUSED))
        async with rig.archive() as archive:
            await archive.put_back(await only(archive), by="ada@ops")
        [record] = await rig.read_all(rig.shard(2))

        assert dict(record.headers)["herald-request-id"] == f"{rig.topic}-2-7".encode()

    async def test_what_cannot_be_put_back_is_an_error_and_not_noted(self, rig: Rig) -> None:
        await keep(rig, letter(rig, shard=rig.shard(2)))
        async with rig.archive() as archive:
            kept = await only(archive)
        nowhere = kept.letter.record._replace(shard=rig.shard(0)._replace(topic="gone-for-good"))
        async with rig.archive() as archive:
            with pytest.raises(HeraldError):
                await archive.put_back(
                    replace(kept, letter=replace(kept.letter, record=nowhere)), by="ada@ops"
                )
            after = await only(archive)

        assert after == kept

    # Counting -----------------------------------------------------------------------------------

    async def test_letters_that_wait_are_counted_by_topic_group_and_reason(self, rig: Rig) -> None:
        await keep(
            rig,
            letter(rig, 1),
            letter(rig, 1),  # kept twice
            letter(rig, 2),
            letter(rig, 3, reason=DeadLetterReason.INVALID),
            letter(rig, 4, group="sms"),
            letter(rig, 5, shard=Shard(rig.other_topic, 0)),
        )
        async with rig.archive() as archive:
            counted = list(await archive.tally())

        refused, invalid = DeadLetterReason.REFUSED.value, DeadLetterReason.INVALID.value
        assert counted == sorted(
            [
                LetterTally(rig.topic, "email", invalid, 1, 0),
                LetterTally(rig.topic, "email", refused, 2, 0),
                LetterTally(rig.topic, "sms", refused, 1, 0),
                LetterTally(rig.other_topic, "email", refused, 1, 0),
            ]
        )

    async def test_where_nothing_died_nothing_is_counted(self, rig: Rig) -> None:
        async with rig.archive() as archive:
            assert list(await archive.tally()) == []

    async def test_what_was_put_back_is_not_counted_and_what_is_parked_apart(self, rig: Rig) -> None:
        again, often = ((("herald-replay", times),) for times in (b"2", b"3"))
        await keep(rig, letter(rig, 1), letter(rig, 2), letter(rig, 3, headers=again))
        await keep(rig, letter(rig, 4, headers=often), letter(rig, 5, headers=(*HEADERS, *often)))
        async with rig.archive() as archive:
            before = list(await archive.tally())
            first = await archive.get(f"{rig.topic}.email-2-1")
            assert first is not None
            await archive.put_back(first, by="ada")
            after = list(await archive.tally())
        async with rig.archive() as another:
            elsewhere = list(await another.tally())

        refused = DeadLetterReason.REFUSED.value
        assert before == [LetterTally(rig.topic, "email", refused, 3, 2)]
        assert after == elsewhere == [LetterTally(rig.topic, "email", refused, 2, 2)]

    async def test_a_record_that_failed_anew_is_counted_once_and_for_its_last_reason(self, rig: Rig) -> None:
        await keep(rig, letter(rig))
        async with rig.archive() as archive:
            await archive.put_back(await only(archive), by="ada")
            await keep(rig, letter(rig, after=60, reason=DeadLetterReason.UNCERTAIN))
            counted = list(await archive.tally())

        assert counted == [LetterTally(rig.topic, "email", DeadLetterReason.UNCERTAIN.value, 1, 0)]

    async def test_what_failed_later_is_not_counted_where_a_moment_is_given(self, rig: Rig) -> None:
        await keep(rig, *(letter(rig, offset, after=offset) for offset in range(4)))
        async with rig.archive() as archive:
            counts = [
                sum(one.waiting for one in await archive.tally(NOON + after)) for after in (0, 0.5, 3, 9)
            ]

        assert counts == [0, 1, 3, 4]

    async def test_counting_a_log_that_does_not_answer_says_so(self, rig: Rig) -> None:
        async with rig.unreachable_archive() as archive:
            with pytest.raises(HeraldError):
                await archive.tally()
