"""What every `DeadLetters` keeps."""

from dataclasses import replace

import pytest

from domain.dead_letter import DeadLetter
from domain.errors import LogUnavailable
from domain.log import Headers, Record
from domain.outcome import DeadLetterReason
from tests.contracts.rig import Rig

HEADERS: Headers = (("content-type", b"application/json"), ("twice", b"\x00\xff"), ("twice", b""))


def letter(rig: Rig, offset: int = 7, **original: bytes | None) -> DeadLetter:
    given = {"key": b"\xfe key", "value": b"\x00 value \xff", **original}
    return DeadLetter(
        record=Record(rig.shard(2), offset, given["key"], given["value"], HEADERS, 0.0),
        group="email",
        reason=DeadLetterReason.REFUSED,
        error="550 no such user \N{EM DASH} refused for good",
        attempts=3,
        failed_at=1_800_000_000.0,
    )


class DeadLettersContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_a_letter_is_kept_with_its_origin_and_its_reason(self, rig: Rig) -> None:
        async with rig.dead_letters("email") as dead_letters:
            await dead_letters.keep(letter(rig))

        assert list(await rig.kept("email")) == [letter(rig)]

    async def test_a_record_without_a_key_stays_without(self, rig: Rig) -> None:
        async with rig.dead_letters("email") as dead_letters:
            await dead_letters.keep(letter(rig, key=None))

        assert list(await rig.kept("email")) == [letter(rig, key=None)]

    async def test_an_empty_key_and_an_empty_value_stay_empty(self, rig: Rig) -> None:
        async with rig.dead_letters("email") as dead_letters:
            await dead_letters.keep(letter(rig, key=b"", value=b""))

        assert list(await rig.kept("email")) == [letter(rig, key=b"", value=b"")]

    async def test_a_record_without_a_value_stays_without(self, rig: Rig) -> None:
        async with rig.dead_letters("email") as dead_letters:
            await dead_letters.keep(letter(rig, value=None))

        assert list(await rig.kept("email")) == [letter(rig, value=None)]

    async def test_a_record_without_headers_gets_none_of_its_own(self, rig: Rig) -> None:
        bare = replace(letter(rig), record=letter(rig).record._replace(headers=()))
        async with rig.dead_letters("email") as dead_letters:
            await dead_letters.keep(bare)

        assert list(await rig.kept("email")) == [bare]

    async def test_a_letter_kept_again_is_kept_twice(self, rig: Rig) -> None:
        async with rig.dead_letters("email") as dead_letters:
            await dead_letters.keep(letter(rig))
            await dead_letters.keep(letter(rig))

        assert list(await rig.kept("email")) == [letter(rig), letter(rig)]

    async def test_letters_stay_in_the_order_in_which_they_were_kept(self, rig: Rig) -> None:
        async with rig.dead_letters("email") as dead_letters:
            for offset in (9, 3, 5):
                await dead_letters.keep(letter(rig, offset))

        assert [kept.record.offset for kept in await rig.kept("email")] == [9, 3, 5]

    async def test_each_group_has_its_own(self, rig: Rig) -> None:
        async with rig.dead_letters("sms") as dead_letters:
            await dead_letters.keep(replace(letter(rig), group="sms"))

        assert len(await rig.kept("sms")) == 1
        assert len(await rig.kept("email")) == 0

    async def test_a_letter_that_is_not_confirmed_is_an_error(self, rig: Rig) -> None:
        async with rig.unreachable_dead_letters("email") as dead_letters:
            with pytest.raises(LogUnavailable):
                await dead_letters.keep(letter(rig))
