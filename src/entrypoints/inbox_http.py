"""The inbox's JSON: what arrived, and the outage switches."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from entrypoints.inbox_mail import rfc3339, shown_mail
from entrypoints.inbox_outage import Outage, SwitchedService
from entrypoints.inbox_store import InboxStore, ReceivedMail, ReceivedText
from entrypoints.plain_http import (
    Answer,
    Request,
    json_answer,
    json_bytes,
    method_not_allowed,
    not_found,
    problem,
)

_DEFAULT_LIMIT = 100
_LIMIT_DIGITS = 9
_SWITCH_LIMIT = 4096  # bytes


class InboxApi:
    """Answers `/api/v1/inbox` and `/api/v1/inbox/outage`; `services` by the outage's field names."""

    def __init__(self, store: InboxStore, services: Mapping[str, SwitchedService]) -> None:
        self._store = store
        self._services = services

    async def handle(self, request: Request) -> Answer:
        if request.path == "/":
            return self._home(request)
        if request.path == "/api/v1/inbox":
            return await self._inbox(request)
        if request.path == "/api/v1/inbox/outage":
            return await self._outage(request)
        return not_found(request.path)

    def _home(self, request: Request) -> Answer:
        if request.method not in {"GET", "HEAD"}:
            return method_not_allowed(request.method, ("GET",))
        return Answer(status=HTTPStatus.FOUND, headers=(("Location", "/api/v1/inbox?limit=100"),))

    async def _inbox(self, request: Request) -> Answer:
        if request.method in {"GET", "HEAD"}:
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
        fresh = [mail for mail in mails if not mail.shown]
        if fresh:
            # In a thread: parsing thousands would keep the mail server from answering.
            store.show(fresh, await asyncio.to_thread(_shown, fresh))
        emails = b",".join(mail.shown for mail in mails)
        sms = json_bytes([_shown_text(text) for text in texts])
        return Answer(
            status=HTTPStatus.OK, body=b'{"totals":%b,"emails":[%b],"sms":%b}' % (totals, emails, sms)
        )

    async def _outage(self, request: Request) -> Answer:
        if request.method in {"GET", "HEAD"}:
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


def _shown(mails: list[ReceivedMail]) -> list[bytes]:
    return [shown_mail(mail) for mail in mails]


def _shown_text(text: ReceivedText) -> dict[str, object]:
    return {
        "sid": text.sid,
        "from": text.sender,
        "to": text.recipient,
        "body": text.body,
        "idempotency_key": text.idempotency_key,
        "at": rfc3339(text.at),
    }
