"""The produce API as one ASGI application. Litestar routes, a front door before them."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, cast

from litestar import Litestar, Request, Response, route
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.handlers import HTTPRouteHandler

from adapters.message_json import RequestDecoder
from application.board import Board
from application.counts import ProduceCounts
from application.lag import ReadLags
from application.produce import ProduceMessage
from application.status import ReadStatus
from domain.ports import Clock, DeadLetterArchive
from domain.topic import Topic
from domain.tracing import Tracer
from entrypoints.answering import for_bearer, response_of
from entrypoints.api_keys import Keys, NoKeys
from entrypoints.batch_endpoint import NDJSON, ProduceBatch
from entrypoints.board_routes import BoardPages, board_routes
from entrypoints.body_room import BodyRoom
from entrypoints.endpoint import AnswersPosts, Endpoint
from entrypoints.front_door import FrontDoor
from entrypoints.letters_routes import letters_routes
from entrypoints.openapi import openapi_document
from entrypoints.pages import WEB_PAGES, Page, Pages
from entrypoints.plain_http import ASGIApp, Receive
from entrypoints.problems import INTERNAL_ERROR, JSON, Problem, ProblemKind
from entrypoints.produce_endpoint import ProduceOne
from entrypoints.reading_pages import ReadingPages, query_of
from entrypoints.sign_in import SignIn
from entrypoints.traced_endpoint import TracedEndpoint

_log = logging.getLogger("herald.api")

PRODUCE = "/api/v1/produce"
BATCH = "/api/v1/produce/batch"
MESSAGES = "/api/v1/messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """What the API is made of.

    `lifespan` opens what the API needs and closes it again. `unready`: why the log does not answer, in a
    few words, or None. `list_topics` may raise `LogUnavailable`. `render_metrics` gives Prometheus text.
    `asyncapi`: the document of the topics. `log`: which kind it is.
    `own_names_only`: see `FrontDoor`. `replay_seconds`: the longest that one call sends dead letters again.
    """

    decode: RequestDecoder
    produce: ProduceMessage
    unready: Callable[[], Awaitable[str | None]]
    topics: Sequence[str]
    list_topics: Callable[[], Awaitable[Sequence[Topic]]]
    read_status: ReadStatus
    read_lags: ReadLags
    archive: DeadLetterArchive
    board: Board
    render_metrics: Callable[[], Awaitable[bytes]]
    lifespan: Callable[[], AbstractAsyncContextManager[Any]]
    keys: Keys
    counts: ProduceCounts
    clock: Clock
    version: str
    log: str
    asyncapi: Mapping[str, Any]
    replay_seconds: float = 8.0
    tracer: Tracer | None = None
    own_names_only: bool = False
    max_body_bytes: int = 65_536
    max_batch_bytes: int = 8_388_608
    max_batch_messages: int = 10_000
    max_waiting_bytes: int = 33_554_432


def create_app(parts: ApiParts, *, hot: bool = True) -> ASGIApp:
    """The whole API. `hot`: produce requests pass Litestar by; the answers are the same either way."""
    room = BodyRoom(parts.max_waiting_bytes)
    endpoints: dict[str, AnswersPosts] = {PRODUCE: _produce(parts, room), BATCH: _batch(parts, room)}
    if (tracer := parts.tracer) is not None:
        endpoints = {path: TracedEndpoint(tracer, path, given) for path, given in endpoints.items()}
    pages = Pages(
        unready=parts.unready,
        render_metrics=parts.render_metrics,
        document=_document(parts),
        asyncapi=parts.asyncapi,
    )
    posts = [_post(path, endpoint) for path, endpoint in endpoints.items()]
    gets = [_get(path, page) for path, page in pages.by_path().items()]
    board = board_routes(BoardPages(parts.board, parts.clock, parts.version, parts.log), parts.keys)
    app = Litestar(
        [*posts, *gets, *_reading(parts), *letters_routes(parts, room), *board],
        lifespan=[lambda _: parts.lifespan()],
        # Litestar's own would take over the root logger's handlers.
        logging_config=None,
        # Its document would not know the bodies: they are decoded by Herald itself.
        openapi_config=None,
        exception_handlers={
            NotFoundException: _not_found,
            MethodNotAllowedException: _method_not_allowed,
            Exception: _internal_error,
        },
    )
    return FrontDoor(
        cast("ASGIApp", app),
        parts.keys,
        endpoints,
        SignIn(WEB_PAGES),
        hot=hot,
        own_names_only=parts.own_names_only,
    )


def _produce(parts: ApiParts, room: BodyRoom) -> Endpoint:
    return Endpoint(
        respond=ProduceOne(parts.decode, parts.produce),
        media_types=frozenset({JSON}),
        max_bytes=parts.max_body_bytes,
        room=room,
        keys=parts.keys,
        counts=parts.counts,
        clock=parts.clock,
    )


def _batch(parts: ApiParts, room: BodyRoom) -> Endpoint:
    return Endpoint(
        respond=ProduceBatch(parts.decode, parts.produce, parts.clock, parts.max_batch_messages),
        media_types=frozenset({JSON, NDJSON}),
        max_bytes=parts.max_batch_bytes,
        room=room,
        keys=parts.keys,
        counts=parts.counts,
        clock=parts.clock,
    )


def _document(parts: ApiParts) -> dict[str, Any]:
    return openapi_document(
        parts.version,
        parts.topics,
        keyed=not isinstance(parts.keys, NoKeys),
        max_messages=parts.max_batch_messages,
    )


def _post(path: str, endpoint: AnswersPosts) -> HTTPRouteHandler:
    @route(path, http_method=["POST"])
    async def take(request: Request[Any, Any, Any]) -> Response[bytes]:
        receive = cast("Receive", request.receive)
        return response_of(await endpoint.answer(list(request.scope["headers"]), receive))

    return take


def _get(path: str, page: Page) -> HTTPRouteHandler:
    @route(path, http_method=["GET", "HEAD"])
    async def show() -> Response[bytes]:
        return response_of(await page())

    return show


def _reading(parts: ApiParts) -> list[HTTPRouteHandler]:
    """What shows nothing of topics that the asker's key is not for."""
    pages = ReadingPages(parts.list_topics, parts.read_status, parts.read_lags)

    @route("/api/v1/topics", http_method=["GET", "HEAD"])
    async def show_topics(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await for_bearer(parts.keys, request, pages.topics)

    @route(f"{MESSAGES}/{{request_id:str}}", http_method=["GET", "HEAD"])
    async def show_message(request: Request[Any, Any, Any]) -> Response[bytes]:
        request_id = request.path_params["request_id"]
        query = query_of(request.scope["query_string"])
        return await for_bearer(parts.keys, request, lambda grant: pages.message(request_id, query, grant))

    @route(f"{MESSAGES}/{{request_id:str}}/story", http_method=["GET", "HEAD"])
    async def show_story(request: Request[Any, Any, Any]) -> Response[bytes]:
        request_id = request.path_params["request_id"]
        query = query_of(request.scope["query_string"])
        return await for_bearer(parts.keys, request, lambda grant: pages.story(request_id, query, grant))

    @route("/api/v1/lag", http_method=["GET", "HEAD"])
    async def show_lag(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await for_bearer(parts.keys, request, pages.lag)

    return [show_topics, show_message, show_story, show_lag]


def _not_found(_request: Request[Any, Any, Any], _error: NotFoundException) -> Response[bytes]:
    return response_of(Problem(ProblemKind.NOT_FOUND, "There is no such path; see /docs.").answer())


def _method_not_allowed(_: Request[Any, Any, Any], error: MethodNotAllowedException) -> Response[bytes]:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    allowed = ", ".join(sorted(headers["allow"].split(", ")))
    problem = Problem(ProblemKind.METHOD_NOT_ALLOWED, f"Allowed here: {allowed}.")
    return response_of(problem.answer((b"allow", allowed.encode())))


def _internal_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error(
        "A request failed", exc_info=error, extra={"action": "request_failed", "path": request.scope["path"]}
    )
    return response_of(INTERNAL_ERROR.answer())
