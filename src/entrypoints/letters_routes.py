"""The paths of dead letters."""

from typing import TYPE_CHECKING, Any, cast

from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler

from application.counts import ProduceCounts
from application.letter_counts import CountLetters
from application.replay_portion import ReplayPortion
from entrypoints.answering import for_bearer, response_of
from entrypoints.body_room import BodyRoom
from entrypoints.dead_letters_page import DeadLettersPage
from entrypoints.endpoint import Endpoint
from entrypoints.problems import JSON
from entrypoints.replay_endpoint import ReplayEndpoint, foreign, is_foreign

if TYPE_CHECKING:
    from entrypoints.http_api import ApiParts
    from entrypoints.plain_http import Receive

LETTERS = "/api/v1/dead-letters"
MOST_BODY_BYTES = 65_536


def letters_routes(parts: "ApiParts", room: BodyRoom) -> list[HTTPRouteHandler]:
    """They show and put back nothing of topics that the asker's key is not for."""
    count = CountLetters(parts.archive, parts.clock)
    pages = DeadLettersPage(parts.archive, count, parts.topics)
    replay = _replay(parts, count, room)

    @route(LETTERS, http_method=["GET", "HEAD"])
    async def show_dead_letters(request: Request[Any, Any, Any]) -> Response[bytes]:
        query = request.scope["query_string"]
        return await for_bearer(parts.keys, request, lambda grant: pages.list(query, grant))

    @route(f"{LETTERS}/summary", http_method=["GET", "HEAD"])
    async def count_dead_letters(request: Request[Any, Any, Any]) -> Response[bytes]:
        query = request.scope["query_string"]
        return await for_bearer(parts.keys, request, lambda grant: pages.summary(query, grant))

    @route(f"{LETTERS}/{{letter_id:str}}", http_method=["GET", "HEAD"])
    async def show_dead_letter(request: Request[Any, Any, Any]) -> Response[bytes]:
        letter_id = request.path_params["letter_id"]
        return await for_bearer(parts.keys, request, lambda grant: pages.letter(letter_id, grant))

    @route(f"{LETTERS}/replay", http_method=["POST"])
    async def replay_dead_letters(request: Request[Any, Any, Any]) -> Response[bytes]:
        headers = list(request.scope["headers"])
        if is_foreign(headers):
            return response_of(foreign())
        return response_of(await replay.answer(headers, cast("Receive", request.receive)))

    return [show_dead_letters, count_dead_letters, show_dead_letter, replay_dead_letters]


def _replay(parts: "ApiParts", count: CountLetters, room: BodyRoom) -> Endpoint:
    portion = ReplayPortion(parts.archive, count, parts.clock, parts.replay_seconds)
    return Endpoint(
        respond=ReplayEndpoint(portion, parts.topics, parts.clock),
        media_types=frozenset({JSON}),
        max_bytes=MOST_BODY_BYTES,
        room=room,
        keys=parts.keys,
        counts=ProduceCounts(),  # its own: it is no produce request
        clock=parts.clock,
    )
