"""A real browser for tests: Chromium of this machine, driven by Playwright.

One browser is started a module, so its tests share a loop: a module that uses `visitor` says

    pytestmark = pytest.mark.asyncio(loop_scope="module")

and its own asynchronous fixtures are `pytest_asyncio.fixture(loop_scope="module")`.
"""

import os
import re
import shutil
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebError

CHROMIUM_VARIABLE = "HERALD_TEST_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox: as root Chromium has none, and nothing but our own pages is opened.
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PATIENCE = 20_000  # ms, for what a page is waited for: other tests share the machine
_INSIDE = {"data", "blob", "about"}  # schemes that ask nobody


class Visitor:
    """Opens pages, each in a browser profile of its own, and keeps every fault that the browser saw.

    Faults are what the console calls an error, exceptions in a page, and requests to other hosts than
    those opened. `allow` names those that a test provokes.
    """

    def __init__(self, browser: "Browser") -> None:
        self.faults: list[str] = []
        self._browser = browser
        self._hosts: set[str] = set()
        self._allowed: list[str] = []
        self._contexts: list[BrowserContext] = []

    async def open(self, url: str, **options: Any) -> "Page":
        """A new page at `url`; `options` are those of Playwright's `new_context`, such as `color_scheme`."""
        context = await self._browser.new_context(**options)
        self._contexts.append(context)
        context.set_default_timeout(_PATIENCE)
        context.on("console", self._on_console)
        context.on("weberror", self._on_exception)
        context.on("request", self._on_request)
        self._hosts.add(urlsplit(url).netloc)
        page = await context.new_page()
        await page.goto(url)
        return page

    def allow(self, pattern: str) -> None:
        """A fault in which `pattern` is found is none in this test."""
        self._allowed.append(pattern)

    async def leave(self) -> None:
        """Closes all pages. Whoever serves them does so before it ends: a page asks until it is closed."""
        while self._contexts:
            await self._contexts.pop().close()

    def _on_console(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self._note(f"console: {message.text}")

    def _on_exception(self, error: "WebError") -> None:
        self._note(f"exception: {error.error}")

    def _on_request(self, request: "Request") -> None:
        url = urlsplit(request.url)
        if url.scheme not in _INSIDE and url.netloc not in self._hosts:
            self._note(f"request to another host: {request.url}")

    def _note(self, fault: str) -> None:
        if not any(re.search(pattern, fault) for pattern in self._allowed):
            self.faults.append(fault)


def chromium_path() -> str | None:
    found = (shutil.which(name) for name in (os.environ.get(CHROMIUM_VARIABLE), *_NAMES) if name)
    return next((path for path in found if path), None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator["Browser"]:
    path = chromium_path()
    if path is None:
        missing = (
            f"PAGES NOT TESTED: no {_NAMES[0]} found; install it, or set {CHROMIUM_VARIABLE} to its path"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415 - half a second, for these tests alone

    expect.set_options(timeout=_PATIENCE)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser: "Browser") -> AsyncIterator[Visitor]:
    """Fails the test that met a fault."""
    visiting = Visitor(browser)
    yield visiting
    await visiting.leave()
    assert visiting.faults == []
