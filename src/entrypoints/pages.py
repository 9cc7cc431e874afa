"""What the API shows to everybody who may ask with GET."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from entrypoints.docs_page import DOCS, PAGE_DOCUMENT, as_openapi_3_0, docs_page
from entrypoints.metrics import METRICS_CONTENT_TYPE
from entrypoints.problems import JSON, Answer, Problem, ProblemKind, answer
from entrypoints.web_page import HTML, WebPage, web_page

Page = Callable[[], Awaitable[Answer]]

BOARD = "/"

# The pages for people; each may be read from a file at the first call.
WEB_PAGES: Mapping[str, Callable[[], WebPage]] = {
    BOARD: partial(web_page, "board"),
    DOCS: docs_page,
}


class Pages:
    """One method for each page. `document` is the OpenAPI document, `asyncapi` that of the topics."""

    def __init__(
        self,
        *,
        unready: Callable[[], Awaitable[str | None]],
        render_metrics: Callable[[], Awaitable[bytes]],
        document: Mapping[str, Any],
        asyncapi: Mapping[str, Any],
    ) -> None:
        self._unready = unready
        self._render_metrics = render_metrics
        self._document = _json(document)
        self._asyncapi = _json(asyncapi)
        self._older_document = answer(200, JSON, as_openapi_3_0(document))

    def by_path(self) -> dict[str, Page]:
        """The page of each path."""
        return {
            "/health/live": self.live,
            "/health/ready": self.ready,
            "/metrics": self.metrics,
            "/schema/openapi.json": self.document,
            "/schema/asyncapi.json": self.topics_document,
            PAGE_DOCUMENT: self.older_document,
            **{path: partial(_web, load) for path, load in WEB_PAGES.items()},
        }

    async def live(self) -> Answer:
        """Nothing of the API works for itself while nobody asks, so it cannot stall."""
        return _json({"status": "ok"})

    async def ready(self) -> Answer:
        reason = await self._unready()
        return _json({"status": "ok"}) if reason is None else _log_unavailable(reason)

    async def metrics(self) -> Answer:
        return answer(200, METRICS_CONTENT_TYPE.encode(), await self._render_metrics())

    async def document(self) -> Answer:
        return self._document

    async def topics_document(self) -> Answer:
        return self._asyncapi

    async def older_document(self) -> Answer:
        return self._older_document


async def _web(load: Callable[[], WebPage]) -> Answer:
    page = await asyncio.to_thread(load)
    headers = [(name.encode(), value.encode()) for name, value in page.headers()]
    return answer(200, HTML.encode(), page.body, headers)


def _json(value: object) -> Answer:
    return answer(200, JSON, msgspec.json.encode(value))


def _log_unavailable(reason: str) -> Answer:
    return Problem(ProblemKind.LOG_UNAVAILABLE, reason).answer()
