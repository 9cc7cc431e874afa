from typing import Any

import pytest

from tests.api_parts import KEYS, MemoryApi
from tests.board_parts import report

PATHS = ["/api/v1/board", "/api/v1/history"]


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()  # of its own: a board remembers, and these tests move its clock


@pytest.fixture
def guarded() -> MemoryApi:
    return MemoryApi(keys=KEYS)


async def topics_for(api: MemoryApi, path: str, key: str) -> list[str]:
    answer = await api.ask("GET", path, headers={"authorization": f"Bearer {key}"})
    return [topic["name"] for topic in answer.json()["topics"]]


async def test_the_board_tells_which_herald_and_which_log_it_is(api: MemoryApi) -> None:
    answer = await api.ask("GET", "/api/v1/board")

    assert answer.status_code == 200
    assert (answer.json()["version"], answer.json()["log"]) == ("1.2.3", "memory")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_is_shown_its_own_topics_alone(guarded: MemoryApi, path: str) -> None:
    assert await topics_for(guarded, path, "all") == ["transactions", "refunds"]
    assert await topics_for(guarded, path, "shop") == ["transactions"]


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_key_nothing_is_shown(guarded: MemoryApi, path: str) -> None:
    assert (await guarded.ask("GET", path)).status_code == 401


async def test_a_key_sees_of_consumers_its_own_topics_alone(guarded: MemoryApi) -> None:
    await guarded.tell(report("for refunds", topic="refunds"))
    headers: Any = {"authorization": "Bearer shop"}

    answer = await guarded.ask("GET", "/api/v1/board", headers=headers)

    assert answer.json()["consumers"] == []


async def test_an_outage_of_the_log_is_an_answer_and_no_error() -> None:
    api = MemoryApi()
    api.broker.down = True

    answer = await api.ask("GET", "/api/v1/board")

    assert answer.status_code == 200
    assert answer.json()["trouble"] == "the log does not answer"


async def test_boards_that_ask_the_same_share_one_answer_until_there_is_news(guarded: MemoryApi) -> None:
    # With hundreds of topics each open board kept the loop from taking messages for most of a second.
    first = await guarded.ask("GET", "/api/v1/board", headers={"authorization": "Bearer all"})
    other = await guarded.ask("GET", "/api/v1/board", headers={"authorization": "Bearer shop"})
    await guarded.tell(report("new"))
    same = await guarded.ask("GET", "/api/v1/board", headers={"authorization": "Bearer all"})
    await guarded.clock.advance(2)
    later = await guarded.ask("GET", "/api/v1/board", headers={"authorization": "Bearer all"})

    assert same.content == first.content != other.content
    assert later.json()["as_of"] > first.json()["as_of"]


async def test_the_history_grows_with_each_step(api: MemoryApi) -> None:
    await api.parts.board.sample()
    before = (await api.ask("GET", "/api/v1/history")).json()
    await api.clock.advance(10)
    await api.parts.board.sample()
    after = (await api.ask("GET", "/api/v1/history")).json()

    assert len(after["topics"][0]["rate_in"]) == len(before["topics"][0]["rate_in"]) + 1
