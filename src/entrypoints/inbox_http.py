"""The inbox over HTTP: its page, what arrived, and the outage switches."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from entrypoints.foreign_pages import is_foreign_origin
from entrypoints.inbox_messages import MESSAGES, InboxMessages, see
from entrypoints.inbox_outage import Outage, SwitchedService
from entrypoints.inbox_store import InboxStore
from entrypoints.inbox_text import shown_text
from entrypoints.plain_http import (
    Answer,
    Request,
    json_answer,
    json_bytes,
    method_not_allowed,
    not_found,
    problem,
)
from entrypoints.web_page import HTML, web_page

_DEFAULT_LIMIT = 100
_LIMIT_DIGITS = 9
_SWITCH_LIMIT = 4096  # bytes


_READING = ("GET", "HEAD")
_FOREIGN = "A page of another site may not change this inbox."


class InboxApi:
    """Answers `/` and everything below `/api/v1/inbox`; `services` by the outage's field names."""

    def __init__(self, store: InboxStore, services: Mapping[str, SwitchedService]) -> None:
        self._store = store
        self._services = services
        self._messages = InboxMessages(store, services)

    async def handle(self, request: Request) -> Answer:
        if request.method not in _READING and _is_foreign(request):
            return problem(HTTPStatus.FORBIDDEN, "foreign-origin", _FOREIGN)
        if request.path == "/api/v1/inbox":
            return await self._inbox(request)
        if request.path == "/api/v1/inbox/outage":
            return await self._outage(request)
        return await self._shown(request)

    async def _shown(self, request: Request) -> Answer:
        """What can only be read."""
        path = request.path
        if path not in {"/", MESSAGES} and not path.startswith(f"{MESSAGES}/"):
            return not_found(path)
        if request.method not in _READING:
            return method_not_allowed(request.method, ("GET",))
        if path == "/":
            page = web_page("inbox", frames=True)
            return Answer(status=HTTPStatus.OK, body=page.body, content_type=HTML, headers=page.headers())
        return await (self._messages.page(request.query) if path == MESSAGES else self._messages.one(path))

    async def _inbox(self, request: Request) -> Answer:
        if request.method in _READING:
            limit = _limit(request.query)
            if limit is None:
                return _invalid("limit must be a number, 0 or above")
            return await self._contents(limit)
        if request.method == "DELETE":
            self._store.clear()
            return Answer(status=HTTPStatus.NO_CONTENT)
        return method_not_allowed(request.method, ("GET", "DELETE"))

    async def _contents(self, limit: int) -> Answer:
        store = self._store
        mails, texts = store.newest_mails(limit), store.newest_texts(limit)
        totals = json_bytes({"emails": store.emails_total, "sms": store.texts_total})
        await see(store, mails)
        emails = b",".join(mail.view.whole for mail in mails if mail.view)
        sms = json_bytes([shown_text(text) for text in texts])
        return Answer(
            status=HTTPStatus.OK, body=b'{"totals":%b,"emails":[%b],"sms":%b}' % (totals, emails, sms)
        )

    async def _outage(self, request: Request) -> Answer:
        if request.method in _READING:
            return self._states()
        if request.method != "PUT":
            return method_not_allowed(request.method, ("GET", "PUT"))
        wanted = self._wanted(await request.body(_SWITCH_LIMIT))
        if isinstance(wanted, Answer):
            return wanted
        for name, state in wanted.items():
            await self._services[name].change(state)
        return self._states()

    def _states(self) -> Answer:
        return json_answer({name: service.switch.state for name, service in self._services.items()})

    def _wanted(self, body: bytes) -> dict[str, Outage] | Answer:
        """The states asked for, all of them or none."""
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            return problem(HTTPStatus.BAD_REQUEST, "not-json", "The body is not JSON")
        if not isinstance(fields, dict):
            return _invalid("the body must be an object")
        states = list(Outage)
        if not fields.keys() <= self._services.keys() or not all(s in states for s in fields.values()):
            names = " and ".join(self._services)
            return _invalid(f"only {names} may be given, each one of {', '.join(states)}")
        return {name: Outage(state) for name, state in fields.items()}


def _limit(query: str) -> int | None:
    text = parse_qs(query, keep_blank_values=True).get("limit", [str(_DEFAULT_LIMIT)])[-1]
    if not text.isascii() or not text.isdigit() or len(text) > _LIMIT_DIGITS:
        return None
    return int(text)


def _invalid(detail: str) -> Answer:
    return problem(HTTPStatus.BAD_REQUEST, "invalid-request", detail)


def _is_foreign(request: Request) -> bool:
    """Whether a browser says that a page of another host (or of none) sends this."""
    return is_foreign_origin(request.headers.get("origin"), request.headers.get("host", ""))
