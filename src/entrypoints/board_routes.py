"""The board's data: only of topics that the asker's key is for.

Many boards may be open, over hundreds of topics: an answer is made once for all who ask the same, and the
long one not in the loop, which has messages to take.
"""

import asyncio
from collections.abc import Awaitable, Callable
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
        self._boards, self._histories = _Made(), _Made()

    async def board(self, grant: Grant) -> Answer:
        readings = await self._board.now()

        async def make() -> bytes:
            topics, is_all = self._board.topics(grant.topics), grant.topics is None
            shown = board_answer(readings, topics, is_all=is_all)
            return msgspec.json.encode({**shown, **self._about})

        return _json(await self._boards.by(readings[-1].ticks, grant, make))

    async def history(self, grant: Grant) -> Answer:
        history, topics, now = self._board.history, self._board.topics(grant.topics), self._clock.now()

        async def make() -> bytes:
            as_it_is = history.as_it_is()
            return await asyncio.to_thread(lambda: msgspec.json.encode(history_answer(as_it_is, topics, now)))

        return _json(await self._histories.by(history.changes, grant, make))


class _Made:
    """The newest answer for each set of topics that a key may be for."""

    def __init__(self) -> None:
        self._answers: dict[frozenset[str] | None, tuple[float, bytes]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def by(self, mark: float, grant: Grant, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """`mark`: changes when the answer may have."""
        async with self._one_at_a_time:
            made = self._answers.pop(grant.topics, None)
            if made is None or made[0] != mark:
                made = (mark, await make())
            if len(self._answers) >= _MOST_MADE:
                self._answers.pop(next(iter(self._answers)))
            self._answers[grant.topics] = made
            return made[1]


def board_routes(pages: BoardPages, keys: Keys) -> list[HTTPRouteHandler]:
    @route("/api/v1/board", http_method=["GET", "HEAD"])
    async def show_board(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await for_bearer(keys, request, pages.board)

    @route("/api/v1/history", http_method=["GET", "HEAD"])
    async def show_history(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await for_bearer(keys, request, pages.history)

    return [show_board, show_history]


def _json(body: bytes) -> Answer:
    return answer(200, JSON, body, _FRESH)


_MOST_MADE = 16  # a history of hundreds of topics takes 2 MB
_FRESH = ((b"cache-control", b"no-store"),)
