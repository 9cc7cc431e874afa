"""What every `TopicCatalog` keeps."""

import pytest

from domain.ports import TopicCatalog
from domain.topic import FoundTopic, dead_letter_topic
from tests.contracts.rig import A_DAY_MS, Rig, new_name, plan


async def find_one(catalog: TopicCatalog, name: str) -> FoundTopic | None:
    return (await catalog.find({name})).get(name)


class TopicCatalogContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_a_created_topic_is_found_with_its_numbers(self, rig: Rig) -> None:
        name = new_name()
        async with rig.catalog() as catalog:
            await catalog.create([plan(name, 5, 2 * A_DAY_MS)])
            topics = await catalog.find({name})

        assert dict(topics) == {name: rig.found(name, 5, 2 * A_DAY_MS)}

    async def test_another_instance_finds_it_too(self, rig: Rig) -> None:
        name = new_name()
        async with rig.catalog() as catalog:
            await catalog.create([plan(name)])
        async with rig.catalog() as catalog:
            topics = await catalog.find({name})

        assert dict(topics) == {name: rig.found(name)}

    async def test_several_are_created_at_once_among_them_heralds_own(self, rig: Rig) -> None:
        name = new_name()
        own = dead_letter_topic(name, "email")
        async with rig.catalog() as catalog:
            await catalog.create([plan(name, 2), plan(own, 1)])
            topics = await catalog.find({name, own})

        assert dict(topics) == {name: rig.found(name, 2), own: rig.found(own, 1)}

    async def test_only_the_names_asked_for_are_found(self, rig: Rig) -> None:
        async with rig.catalog() as catalog:
            topics = await catalog.find({rig.topic, new_name("missing")})

        assert dict(topics) == {rig.topic: rig.found(rig.topic)}

    async def test_asking_for_nothing_finds_nothing(self, rig: Rig) -> None:
        async with rig.catalog() as catalog:
            topics = await catalog.find(set())

        assert dict(topics) == {}

    async def test_looking_for_a_topic_does_not_make_it(self, rig: Rig) -> None:
        name = new_name("missing")
        async with rig.catalog() as catalog:
            first = await find_one(catalog, name)
            second = await find_one(catalog, name)

        assert (first, second) == (None, None)

    async def test_a_topic_that_exists_is_left_as_it_is(self, rig: Rig) -> None:
        name = new_name()
        async with rig.catalog() as catalog:
            await catalog.create([plan(name, 2)])
            await catalog.create([plan(name, 4, 2 * A_DAY_MS)])
            topic = await find_one(catalog, name)

        assert topic == rig.found(name, 2)

    async def test_one_that_exists_does_not_keep_the_others_from_being_made(self, rig: Rig) -> None:
        name = new_name()
        async with rig.catalog() as catalog:
            await catalog.create([plan(rig.topic), plan(name)])
            topic = await find_one(catalog, name)

        assert topic == rig.found(name)

    async def test_creating_nothing_is_nothing(self, rig: Rig) -> None:
        async with rig.catalog() as catalog:
            await catalog.create([])
            topic = await find_one(catalog, rig.topic)

        assert topic == rig.found(rig.topic)
