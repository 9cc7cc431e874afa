"""The inbox's SMS provider: as much of Twilio's Messages API as a sender needs.

Shapes and codes: https://www.twilio.com/docs/messaging/api/message-resource and
https://www.twilio.com/docs/api/errors.
"""

import asyncio
import re
import time
import uuid
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl

from entrypoints.inbox_outage import Outage, Switch
from entrypoints.inbox_store import ReceivedText, TextKeeper
from entrypoints.plain_http import Answer, ClientGone, Request, json_answer

BODY_LIMIT = 1600  # characters
_FORM_LIMIT = 65_536  # bytes
_MAX_FIELDS = 100
_PATH = re.compile(r"/2010-04-01/Accounts/([^/]{1,64})/Messages\.json\Z")
_ACCOUNT_PATH = re.compile(r"/2010-04-01/Accounts/([^/]{1,64})\.json\Z")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}\Z", re.ASCII)
_BASIC = re.compile(r"basic +\S+\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: HTTPStatus
    code: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


_NOT_FOUND = _Refusal(HTTPStatus.NOT_FOUND, 20404, "The requested resource was not found")
_WRONG_METHOD = _Refusal(
    HTTPStatus.METHOD_NOT_ALLOWED, 20004, "Method not allowed", headers=(("Allow", "POST"),)
)
_GET_ONLY = replace(_WRONG_METHOD, headers=(("Allow", "GET"),))
_NO_CREDENTIALS = _Refusal(
    HTTPStatus.UNAUTHORIZED,
    20003,
    "Authenticate",
    headers=(("WWW-Authenticate", 'Basic realm="Herald inbox"'),),
)
_BUSY = _Refusal(HTTPStatus.TOO_MANY_REQUESTS, 20429, "Too many requests", headers=(("Retry-After", "1"),))
_NO_RECIPIENT = _Refusal(HTTPStatus.BAD_REQUEST, 21604, "A 'To' phone number is required.")
_BAD_RECIPIENT = _Refusal(HTTPStatus.BAD_REQUEST, 21211, "The 'To' number is not a valid phone number.")
_NO_SENDER = _Refusal(HTTPStatus.BAD_REQUEST, 21603, "A 'From' phone number is required.")
_NO_BODY = _Refusal(HTTPStatus.BAD_REQUEST, 21602, "Message body is required.")
_LONG_BODY = _Refusal(
    HTTPStatus.BAD_REQUEST, 21617, f"The message body exceeds the limit of {BODY_LIMIT} characters."
)


class SmsProvider:
    """Answers the provider's requests and keeps each text that it accepted."""

    def __init__(self, store: TextKeeper, switch: Switch, slow_seconds: float) -> None:
        self._store = store
        self._switch = switch
        self._slow_seconds = slow_seconds

    async def handle(self, request: Request) -> Answer:
        if account := _ACCOUNT_PATH.match(request.path):
            return await self._show_account(account[1], request)
        path = _PATH.match(request.path)
        if path is None:
            return _refused(_NOT_FOUND)
        refusal = self._refusal(request)
        if refusal is not None:
            return _refused(refusal)
        form = _form(await request.body(_FORM_LIMIT))
        fault = _fault(form)
        if fault is not None:
            return _refused(fault)
        if self._switch.state == Outage.SLOW:
            await self._wait(request)
        return json_answer(self._accept(path[1], form, request), HTTPStatus.CREATED)

    async def _show_account(self, account: str, request: Request) -> Answer:
        """What is asked to learn whether the provider answers and takes the login; any is taken here."""
        if request.method not in {"GET", "HEAD"}:
            return _refused(_GET_ONLY)
        if refusal := self._refusal_of_all(request):
            return _refused(refusal)
        if self._switch.state == Outage.SLOW:
            await request.body(_FORM_LIMIT)
            await self._wait(request)
        return json_answer({"sid": account, "friendly_name": "Herald inbox", "status": "active"})

    def _refusal(self, request: Request) -> _Refusal | None:
        if request.method != "POST":
            return _WRONG_METHOD
        if refusal := self._refusal_of_all(request):
            return refusal
        return _BAD_RECIPIENT if self._switch.state == Outage.REJECT else None

    def _refusal_of_all(self, request: Request) -> _Refusal | None:
        if not _BASIC.match(request.headers.get("authorization", "")):
            return _NO_CREDENTIALS
        return _BUSY if self._switch.state == Outage.BUSY else None

    async def _wait(self, request: Request) -> None:
        try:
            await asyncio.wait_for(request.hung_up(), self._slow_seconds)
        except TimeoutError:
            return
        raise ClientGone

    def _accept(self, account: str, form: dict[str, str], request: Request) -> dict[str, object]:
        text = ReceivedText(
            sid=f"SM{uuid.uuid4().hex}",
            sender=form.get("From") or form["MessagingServiceSid"],
            recipient=form["To"],
            body=form["Body"],
            idempotency_key=request.headers.get("idempotency-key"),
            at=time.time(),
        )
        self._store.add_text(text)
        return _resource(account, text)


def _form(body: bytes) -> dict[str, str]:
    """The form's fields; nothing of a body that is no form, so that the first required one is missed."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        return {}


def _fault(form: dict[str, str]) -> _Refusal | None:
    if not form.get("To"):
        return _NO_RECIPIENT
    if not _NUMBER.match(form["To"]):
        return _BAD_RECIPIENT
    if not form.get("From") and not form.get("MessagingServiceSid"):
        return _NO_SENDER
    if not form.get("Body"):
        return _NO_BODY
    return _LONG_BODY if len(form["Body"]) > BODY_LIMIT else None


def _refused(refusal: _Refusal) -> Answer:
    fields = {
        "code": refusal.code,
        "message": refusal.message,
        "more_info": f"https://www.twilio.com/docs/errors/{refusal.code}",
        "status": int(refusal.status),
    }
    answer = json_answer(fields, refusal.status)
    return Answer(status=answer.status, body=answer.body, headers=refusal.headers)


def _resource(account: str, text: ReceivedText) -> dict[str, object]:
    at = formatdate(text.at)
    return {
        "sid": text.sid,
        "account_sid": account,
        "messaging_service_sid": None,
        "api_version": "2010-04-01",
        "status": "queued",
        "direction": "outbound-api",
        "to": text.recipient,
        "from": text.sender,
        "body": text.body,
        "num_segments": "1",
        "num_media": "0",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
        "error_message": None,
        "date_created": at,
        "date_updated": at,
        "date_sent": None,
        "uri": f"/2010-04-01/Accounts/{account}/Messages/{text.sid}.json",
    }
