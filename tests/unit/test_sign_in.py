import re

import pytest

from entrypoints.docs_page import docs_page
from entrypoints.web_page import web_page
from tests.api_parts import MemoryApi, shared_api

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def guarded() -> MemoryApi:
    return shared_api(hot=True, guarded=True)


@pytest.mark.parametrize("path", ["/", "/docs", "/metrics", "/api/v1/topics", "/no-such-page"])
@pytest.mark.parametrize("key", [None, "wrong"])
async def test_a_browser_without_a_known_key_is_asked_for_one(
    guarded: MemoryApi, path: str, key: str | None
) -> None:
    headers = BROWSER if key is None else BROWSER | {"authorization": f"Bearer {key}"}
    answer = await guarded.ask("GET", path, headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == web_page("sign_in", markup="herald-page").body


@pytest.mark.parametrize(
    ("method", "accept"),
    [("GET", "*/*"), ("GET", "application/json"), ("POST", "text/html"), ("DELETE", "text/html")],
)
async def test_programs_get_a_problem_as_ever(guarded: MemoryApi, method: str, accept: str) -> None:
    answer = await guarded.ask(method, "/api/v1/topics", headers={"accept": accept})

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["type"] == "urn:herald:problem:unauthorized"


async def test_a_post_to_produce_is_never_answered_with_a_page(guarded: MemoryApi) -> None:
    answer = await guarded.ask("POST", "/api/v1/produce", headers=BROWSER)

    assert answer.json()["type"] == "urn:herald:problem:unauthorized"


async def test_the_policy_covers_the_page_that_will_take_its_place(guarded: MemoryApi) -> None:
    of_docs = (await guarded.ask("GET", "/docs", headers=BROWSER)).headers["content-security-policy"]
    of_none = (await guarded.ask("GET", "/metrics", headers=BROWSER)).headers["content-security-policy"]
    own, docs = web_page("sign_in").policy, docs_page().policy

    assert [source for source in (*own.scripts, *docs.scripts, *docs.styles) if source not in of_docs] == []
    assert own.scripts[0] in of_none
    assert docs.scripts[0] not in of_none


async def test_a_key_opens_the_page_itself(guarded: MemoryApi) -> None:
    answer = await guarded.ask("GET", "/docs", headers=BROWSER | {"authorization": "Bearer shop"})

    assert (answer.status_code, answer.content) == (200, docs_page().body)


async def test_the_board_is_opened_by_a_key_and_by_it_alone(guarded: MemoryApi) -> None:
    board = web_page("board")
    asked = await guarded.ask("GET", "/", headers=BROWSER)
    opened = await guarded.ask("GET", "/", headers=BROWSER | {"authorization": "Bearer shop"})

    assert (asked.status_code, board.policy.scripts[-1] in asked.headers["content-security-policy"]) == (
        401,
        True,
    )
    assert (opened.status_code, opened.content) == (200, board.body)
    assert opened.headers["content-security-policy"] == str(board.policy)


async def test_what_the_board_links_to_is_there(guarded: MemoryApi) -> None:
    links = re.findall(r'href="(/[^"]+)"', web_page("board").body.decode())
    key = {"authorization": "Bearer shop"}
    answers = [(link, (await guarded.ask("HEAD", link, headers=key)).status_code) for link in links]

    assert [status for _, status in answers] == [200] * 4, answers


async def test_health_asks_no_browser_for_a_key(guarded: MemoryApi) -> None:
    assert (await guarded.ask("GET", "/health/live", headers=BROWSER)).status_code == 200
