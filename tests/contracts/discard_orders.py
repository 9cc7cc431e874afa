"""What every `DiscardOrders` keeps."""

from dataclasses import replace

import pytest

from domain.discard import Discard
from domain.errors import LogUnavailable
from tests.contracts.rig import Rig

TIME = 1_800_000_000.0


def order(rig: Rig, upto: dict[int, int], before: float = TIME, group: str = "email") -> Discard:
    return Discard(
        topic=rig.topic, group=group, before=before, upto=upto, at=TIME + 0.25, by="ada@machine „ops“"
    )


class DiscardOrdersContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_what_is_given_is_in_force_for_everybody_and_stays(self, rig: Rig) -> None:
        first = order(rig, {0: 5, 2: 7})
        async with rig.discard_orders() as theirs, rig.discard_orders() as ours:
            before = await theirs.in_force(rig.topic, "email")
            await ours.give(first)
            during = await theirs.in_force(rig.topic, "email")

        async with rig.discard_orders() as later:
            after = await later.in_force(rig.topic, "email")

        assert (list(before), list(during), list(after)) == ([], [first], [first])

    async def test_it_concerns_no_other_topic_and_no_other_group(self, rig: Rig) -> None:
        async with rig.discard_orders() as orders:
            await orders.give(order(rig, {0: 5}))

            assert list(await orders.in_force(rig.topic, "sms")) == []
            assert list(await orders.in_force(rig.other_topic, "email")) == []

    async def test_a_later_one_adds_to_the_earlier(self, rig: Rig) -> None:
        old, new = order(rig, {0: 9}, TIME), order(rig, {0: 5, 1: 1}, TIME + 60)
        async with rig.discard_orders() as orders, rig.discard_orders() as reader:
            await orders.give(old)
            await reader.in_force(rig.topic, "email")
            await orders.give(new)

            assert list(await reader.in_force(rig.topic, "email")) == [old, new]

    async def test_one_that_includes_the_earlier_takes_its_place(self, rig: Rig) -> None:
        """Otherwise a discard that is given each hour would never come to an end of orders."""
        small, other, large = order(rig, {0: 5}), order(rig, {1: 99}), order(rig, {0: 6, 1: 3}, TIME + 60)
        async with rig.discard_orders() as orders, rig.discard_orders() as reader:
            for one in (small, other, replace(small, at=TIME + 9)):
                await orders.give(one)
            await reader.in_force(rig.topic, "email")
            await orders.give(large)
            found = list(await reader.in_force(rig.topic, "email"))
        async with rig.discard_orders() as anew:
            assert list(await anew.in_force(rig.topic, "email")) == found

        assert found == [other, large]

    async def test_a_log_that_does_not_answer_says_so(self, rig: Rig) -> None:
        async with rig.unreachable_discard_orders() as orders:
            with pytest.raises(LogUnavailable):
                await orders.give(order(rig, {0: 5}))
