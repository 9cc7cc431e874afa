"""A stand-in for the API behind the board: the page itself, and answers such as a test wants to see on it."""

import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from entrypoints.http_port import HttpPort
from entrypoints.listening import listen_on, port_of
from entrypoints.plain_http import Answer, ClientGone, Request, asgi_app, json_answer, not_found, problem
from entrypoints.web_page import HTML, web_page

STEPS = 360
PORTION = 1000  # letters in one call, as the API has it
LETTERS = "/api/v1/dead-letters"


def time_text(seconds_ago: float = 0.0) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def channel(state: str = "up", since: float | None = 7200.0, reason: str = "") -> dict[str, Any]:
    return {"state": state, "since": None if since is None else time_text(since), "reason": reason}


def group(name: str, **changes: Any) -> dict[str, Any]:
    """A group that works and has nothing to do, but for `changes`."""
    return {
        "name": name,
        "rate_out": 4.2,
        "lag": 0,
        "deferred": 0,
        "oldest_unfinished_seconds": 0.0,
        "processes": 1,
        "processes_down": 0,
        "channel": channel(),
        **changes,
    }


def topic(name: str, *groups: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "partitions": 6, "rate_in": 4.2, "groups": list(groups)}


def process(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "group": name,
        "process": f"{name}-1",
        "host": "node-1",
        "pid": 4711,
        "version": "0.1.0",
        "started_at": time_text(7200),
        "at": time_text(1),
        "waiting": "",
        "in_flight": 3,
        "channel": channel(),
        "topics": [{"name": "transactions", "partitions": 6}],
        **changes,
    }


def letter(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"transactions.email-3-{number}",
        "group": "email",
        "topic": "transactions",
        "partition": 3,
        "offset": number,
        "request_id": f"order-{number}",
        "key": None,
        "reason": "refused",
        "error": "550 5.1.1 no such user here",
        "attempts": 1,
        "failed_at": time_text(600 - number),
        "replays": 0,
        **changes,
    }


def calm() -> list[dict[str, Any]]:
    return [topic("transactions", group("email"), group("sms"))]


def outage() -> list[dict[str, Any]]:
    refused = channel("down", 1234.0, "connection refused")
    return [
        topic(
            "transactions",
            group(
                "email",
                channel=refused,
                processes_down=1,
                rate_out=0.0,
                lag=1204,
                oldest_unfinished_seconds=1234.0,
                deferred=7,
            ),
            group("sms", rate_out=118.4, lag=12, oldest_unfinished_seconds=0.4, processes=3),
        )
    ]


def many() -> list[dict[str, Any]]:
    return [topic(f"topic-{number}", group("email"), group("sms")) for number in range(30)]


def waves(topics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An hour in which the last third was busy and one gap was not measured."""

    def line(height: float, digits: int = 0) -> list[float | None]:
        values = [height * (1 + math.sin(at / 17)) * (1 if at > 240 else 0.3) for at in range(STEPS)]
        return [None if 100 < at < 120 else round(value, digits) for at, value in enumerate(values)]

    return {
        "step_seconds": 10,
        "ends_at": time_text(),
        "topics": [
            {
                "name": one["name"],
                "rate_in": line(60, 2),
                "groups": [
                    {
                        "name": each["name"],
                        "rate_out": line(40 + 10 * at, 2),
                        "lag": line(600 / (at + 1)),
                        "deferred": line(3),
                    }
                    for at, each in enumerate(one["groups"])
                ],
            }
            for one in topics
        ],
    }


@dataclass(slots=True)
class BoardServer:
    """What the API would answer. Letters that were sent again are taken out of `letters`."""

    topics: list[dict[str, Any]] = field(default_factory=calm)
    consumers: list[dict[str, Any]] = field(default_factory=list)
    trouble: str | None = None
    letters: list[dict[str, Any]] = field(default_factory=list)
    parked: int = 0
    stories: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    replays: list[dict[str, Any]] = field(default_factory=list)
    hanging: set[str] = field(default_factory=set)  # paths that never answer
    refusing: set[str] = field(default_factory=set)  # paths that answer 503
    failing: str = ""  # why letters cannot be sent again
    whole: dict[str, Any] = field(default_factory=dict)  # what else a letter has
    instead: Answer | None = None  # of the board
    version: str = "0.1.0"

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request.path)
        if request.path in self.hanging:
            await request.hung_up()
            raise ClientGone
        if request.path == "/api/v1/board" and self.instead:
            return self.instead
        if request.path in self.refusing:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "log-unavailable", "The log does not answer.")
        return await self._answer(request)

    async def _answer(self, request: Request) -> Answer:
        if request.path.startswith(LETTERS):
            return await self._letters(request)
        if request.path.endswith("/story"):
            return self._story(unquote(request.path.split("/")[-2]))
        if request.path == "/":
            page = web_page("board")
            return Answer(status=200, body=page.body, content_type=HTML, headers=page.headers())
        wholes = {"/api/v1/board": self._board(), "/api/v1/history": waves(self.topics)}
        return json_answer(wholes[request.path]) if request.path in wholes else not_found(request.path)

    def _board(self) -> dict[str, Any]:
        return {
            "as_of": time_text(),
            "version": self.version,
            "log": "sqlite",
            "trouble": self.trouble,
            "topics": self.topics,
            "consumers": self.consumers,
        }

    def _story(self, request_id: str) -> Answer:
        story = self.stories.get(request_id)
        if story is None:
            return problem(HTTPStatus.NOT_FOUND, "not-found", "No message with this request_id is known.")
        return json_answer(story)

    async def _letters(self, request: Request) -> Answer:
        if request.path == LETTERS:
            return json_answer(self._list(dict(parse_qsl(request.query))))
        if request.path == f"{LETTERS}/summary":
            return json_answer(self._summary())
        if request.path == f"{LETTERS}/replay":
            return json_answer(self._replay(json.loads(await request.body(65_536))))
        found = [one for one in self.letters if request.path == f"{LETTERS}/{one['id']}"]
        if not found:
            return problem(HTTPStatus.NOT_FOUND, "not-found", "There is no dead letter of this id.")
        return json_answer({**found[0], "parked": False, "replayed_at": None, **self.whole})

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        found = self._chosen(query)
        begin, limit = int(query.get("after", "0")), int(query["limit"])
        more = begin + limit < len(found)
        return {"dead_letters": found[begin : begin + limit], "next": str(begin + limit) if more else None}

    def _chosen(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "ids" in wanted:
            return [one for one in self.letters if one["id"] in wanted["ids"]]
        filters = [name for name in ("group", "topic", "reason") if name in wanted]
        return [one for one in self.letters if all(one[name] == wanted[name] for name in filters)]

    def _summary(self) -> dict[str, Any]:
        kinds = sorted({(one["group"], one["topic"], one["reason"]) for one in self.letters})
        counts = [
            {
                "group": group,
                "topic": topic,
                "reason": reason,
                "count": len(self._chosen({"group": group, "topic": topic, "reason": reason})),
                "parked": 0,
            }
            for group, topic, reason in kinds
        ]
        return {"dead_letters": counts, "total": len(self.letters), "parked": self.parked}

    def _replay(self, wanted: dict[str, Any]) -> dict[str, Any]:
        chosen = self._chosen(wanted)
        counts = {"already": 0, "parked": self.parked, "failed": 0, "unknown": [], "trouble": ""}
        counts["until"] = wanted.get("until", time_text())
        if wanted["dry_run"]:
            return {**counts, "replayed": len(chosen), "remaining": 0}
        self.replays.append(wanted)
        if self.failing:
            return {**counts, "replayed": 0, "failed": 1, "trouble": self.failing, "remaining": len(chosen)}
        sent = chosen[:PORTION]
        self.letters = [one for one in self.letters if one not in sent]
        return {**counts, "replayed": len(sent), "remaining": len(chosen) - len(sent)}


@asynccontextmanager
async def serving(server: BoardServer, port: int = 0) -> AsyncIterator[str]:
    """Its address while it answers."""
    sock = listen_on("127.0.0.1", port, "")
    http = HttpPort(asgi_app(server.answer))
    await http.open(sock)
    try:
        yield f"http://127.0.0.1:{port_of(sock)}"
    finally:
        await http.close()
