"""The board's data: only of topics that the asker's key is for."""

from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler

from application.board import Board
from application.board_answer import board_answer, history_answer
from domain.ports import Clock
from entrypoints.answering import for_bearer
from entrypoints.api_keys import Grant, Keys
from entrypoints.problems import JSON, Answer, answer


class BoardPages:
    """`log`: the kind of log, for a person to see."""

    def __init__(self, board: Board, clock: Clock, version: str, log: str) -> None:
        self._board = board
        self._clock = clock
        self._about = {"version": version, "log": log}

    async def board(self, grant: Grant) -> Answer:
        topics, is_all = self._board.topics(grant.topics), grant.topics is None
        shown = board_answer(await self._board.now(), topics, is_all=is_all)
        return _json({**shown, **self._about})

    async def history(self, grant: Grant) -> Answer:
        topics = self._board.topics(grant.topics)
        return _json(history_answer(self._board.history, topics, self._clock.now()))


def board_routes(pages: BoardPages, keys: Keys) -> list[HTTPRouteHandler]:
    @route("/api/v1/board", http_method=["GET", "HEAD"])
    async def show_board(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await for_bearer(keys, request, pages.board)

    @route("/api/v1/history", http_method=["GET", "HEAD"])
    async def show_history(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await for_bearer(keys, request, pages.history)

    return [show_board, show_history]


def _json(value: object) -> Answer:
    return answer(200, JSON, msgspec.json.encode(value), _FRESH)


_FRESH = ((b"cache-control", b"no-store"),)
