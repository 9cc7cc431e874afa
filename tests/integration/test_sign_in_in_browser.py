"""Herald's pages where keys are asked for, as a person in a browser meets them."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from entrypoints.http_port import HttpPort
from entrypoints.listening import listen_on, port_of
from tests.api_parts import KEYS, MemoryApi
from tests.browser import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_KEY = "status of 401"  # what the console says of each answer to a request without a known key


@pytest_asyncio.fixture(loop_scope="module")
async def api_url(visitor: Visitor) -> AsyncIterator[str]:
    sock = listen_on("127.0.0.1", 0, "")
    port = HttpPort(MemoryApi(keys=KEYS).app)
    await port.open(sock)
    yield f"http://127.0.0.1:{port_of(sock)}"
    await visitor.leave()
    await port.close()


async def sign_in(page: Page, key: str) -> None:
    await page.get_by_label("Key").fill(key)
    await page.keyboard.press("Enter")


async def test_a_known_key_opens_the_docs_and_goes_with_what_is_tried_there(
    visitor: Visitor, api_url: str
) -> None:
    visitor.allow(UNKNOWN_KEY)
    page = await visitor.open(f"{api_url}/docs")
    await sign_in(page, "shop")
    operation = page.locator(".opblock").filter(has_text="/api/v1/topics").first
    await operation.locator(".opblock-summary").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()

    answer = operation.locator(".live-responses-table td.response-col_description:not(.col_header)")
    await expect(answer).to_contain_text('"transactions"')


async def test_an_unknown_key_is_told_in_one_line_and_the_next_may_be_right(
    visitor: Visitor, api_url: str
) -> None:
    visitor.allow(UNKNOWN_KEY)
    page = await visitor.open(f"{api_url}/docs")
    await sign_in(page, "wrong")
    await expect(page.get_by_role("alert")).to_have_text("Herald does not know this key.")
    await sign_in(page, "ключ")
    await expect(page.get_by_role("alert")).to_contain_text("letters, digits and signs")
    await sign_in(page, " shop ")

    await expect(page.locator("#swagger-ui .info")).to_be_visible()


async def test_the_key_is_used_unasked_after_a_reload_and_asked_for_once_it_is_forgotten(
    visitor: Visitor, api_url: str
) -> None:
    visitor.allow(UNKNOWN_KEY)
    page = await visitor.open(f"{api_url}/docs")
    await sign_in(page, "all")
    await expect(page.locator("#swagger-ui .info")).to_be_visible()
    await page.reload()
    await expect(page.locator("#swagger-ui .info")).to_be_visible()
    await page.get_by_role("button", name="Forget key").click()

    await expect(page.get_by_label("Key")).to_be_focused()


async def test_what_is_no_page_is_shown_as_text(visitor: Visitor, api_url: str) -> None:
    visitor.allow(UNKNOWN_KEY)
    page = await visitor.open(f"{api_url}/api/v1/topics")
    await sign_in(page, "shop")

    await expect(page.locator("pre")).to_contain_text('{"topics":[{"name":"transactions"')


async def test_the_key_stands_in_no_address_and_is_not_posted(visitor: Visitor, api_url: str) -> None:
    visitor.allow(UNKNOWN_KEY)
    page = await visitor.open(f"{api_url}/metrics")
    asked: list[tuple[str, str]] = []
    page.on("request", lambda request: asked.append((request.method, request.url)))
    await sign_in(page, "shop")
    await expect(page.locator("pre")).to_contain_text("herald_build_info")

    assert {method for method, _ in asked} == {"GET"}
    assert [url for _, url in asked if "shop" in url] == []


async def test_it_fits_a_phone_in_the_dark(visitor: Visitor, api_url: str) -> None:
    visitor.allow(UNKNOWN_KEY)
    page = await visitor.open(
        f"{api_url}/", viewport={"width": 360, "height": 640}, color_scheme="dark", has_touch=True
    )
    await expect(page.get_by_label("Key")).to_be_focused()
    ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    brightest = max(int(part) for part in re.findall(r"\d+", ground))

    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    assert brightest < 64
