"""The JSON behind the inbox's page: a light list that goes on where it ended, and one message whole."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from urllib.parse import parse_qsl

from entrypoints.inbox_mail import mail_view
from entrypoints.inbox_mail_parts import fields_of, opened_mail
from entrypoints.inbox_outage import SwitchedService
from entrypoints.inbox_store import InboxStore, Kind, ReceivedMail, ReceivedText
from entrypoints.inbox_text import opened_text, text_row, text_words
from entrypoints.plain_http import Answer, json_bytes, not_found, problem

MESSAGES = "/api/v1/inbox/messages"
USUAL_LIMIT = 100
HIGHEST_LIMIT = 500
MOST_SCANNED = 2000  # entries that one request searches; the next goes on behind them
_MOST_SEARCHED = 200  # characters
_END = 10**12  # above every number

PARAMETERS = ("kind", "search", "after", "before", "limit")
_PATH = re.compile(rf"{MESSAGES}/([0-9]{{1,12}})(/html|/source)?\Z")
_is_number = re.compile(r"[0-9]{1,12}\Z").match
# For these a browser may connect to a host before it asks the policy whether it may load from there.
_CONNECTING = re.compile(r"<(?=(?:link|i?frame|fencedframe|object|embed)\b)", re.IGNORECASE)
# Links that a person follows open beside the inbox. At the end, where it keeps no doctype from being first.
_LINKS_OPEN_BESIDE = '<base target="_blank">'

# Nothing runs, nothing is loaded, nothing is sent, also where the address is opened without the page's frame.
_HTML_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
_HTML_HEADERS = (
    ("content-security-policy", _HTML_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-dns-prefetch-control", "off"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
)
_JSON_HEADERS = (("cache-control", "no-store"),)

Entry = ReceivedMail | ReceivedText


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows: numbers above `after` and below `before`, each word of the search found."""

    kind: Kind | None
    words: tuple[str, ...]
    after: int
    before: int
    limit: int

    def finds(self, entry: Entry) -> bool:
        if not self.words:
            return True
        text = entry.view.words if isinstance(entry, ReceivedMail) and entry.view else ""
        text = text_words(entry) if isinstance(entry, ReceivedText) else text
        return all(word in text for word in self.words)


class InboxMessages:
    """Answers GET below `MESSAGES`; `services` by their kind."""

    def __init__(self, store: InboxStore, services: Mapping[str, SwitchedService]) -> None:
        self._store = store
        self._services = services

    async def page(self, query: str) -> Answer:
        wanted = _wanted(query)
        if isinstance(wanted, str):
            return problem(HTTPStatus.BAD_REQUEST, "invalid-request", wanted)
        store = self._store
        standing = {
            "run": store.run,
            "newest": store.newest,
            "totals": {"emails": store.emails_total, "sms": store.texts_total},
            "services": {
                name: {"state": service.switch.state, "port": service.port}
                for name, service in self._services.items()
            },
        }
        rows, following = await self._rows(wanted)
        body = b'%b,"messages":[%b],"next":%b}' % (
            json_bytes(standing)[:-1],
            b",".join(rows),
            json_bytes(following),
        )
        return Answer(status=HTTPStatus.OK, body=body, headers=_JSON_HEADERS)

    async def one(self, path: str) -> Answer:
        match = _PATH.match(path)
        entry = self._store.get(int(match[1])) if match else None
        if match is None or entry is None:
            return not_found(path)
        if match[2] is None:
            opened = (
                opened_text(entry)
                if isinstance(entry, ReceivedText)
                else await asyncio.to_thread(opened_mail, entry)
            )
            return Answer(status=HTTPStatus.OK, body=json_bytes(opened), headers=_JSON_HEADERS)
        if isinstance(entry, ReceivedText):
            return not_found(path)
        return _source(entry) if match[2] == "/source" else await _html(entry, path)

    async def _rows(self, wanted: Wanted) -> tuple[list[bytes], int | None]:
        """The rows, and the number below which more may be found."""
        at_most = MOST_SCANNED if wanted.words else wanted.limit + 1
        found = self._store.newest_first(wanted.kind, after=wanted.after, before=wanted.before)
        looked_at = list(islice(found, at_most))
        await see(self._store, [entry for entry in looked_at if isinstance(entry, ReceivedMail)])
        entries = [entry for entry in looked_at if wanted.finds(entry)]
        rows = [_row(entry) for entry in entries[: wanted.limit]]
        if len(entries) > wanted.limit:
            return rows, entries[wanted.limit - 1].number
        return rows, looked_at[-1].number if len(looked_at) == at_most else None


async def see(store: InboxStore, mails: Sequence[ReceivedMail]) -> None:
    """Afterwards each of the mails has its view."""
    fresh = [mail for mail in mails if mail.view is None]
    if fresh:
        # In a thread: parsing thousands would keep the mail server from answering.
        store.show(fresh, await asyncio.to_thread(lambda: [mail_view(mail) for mail in fresh]))


def _row(entry: Entry) -> bytes:
    if isinstance(entry, ReceivedText):
        return json_bytes(text_row(entry))
    return entry.view.row if entry.view else b"{}"


def _source(mail: ReceivedMail) -> Answer:
    headers = (("content-disposition", f'attachment; filename="{mail.number}.eml"'), *_HTML_HEADERS)
    return Answer(status=HTTPStatus.OK, body=mail.raw, content_type="message/rfc822", headers=headers)


async def _html(mail: ReceivedMail, path: str) -> Answer:
    html = (await asyncio.to_thread(fields_of, mail))["html"]
    if not html:
        return not_found(path)
    body = (_CONNECTING.sub("<x-", html) + _LINKS_OPEN_BESIDE).encode("utf-8", "replace")
    return Answer(
        status=HTTPStatus.OK, body=body, content_type="text/html; charset=utf-8", headers=_HTML_HEADERS
    )


def _wanted(query: str) -> Wanted | str:
    """What is asked for, or what is wrong with it."""
    given = dict(parse_qsl(query))
    if unknown := given.keys() - set(PARAMETERS):
        return f"{min(unknown)[:40]} is not one of {', '.join(PARAMETERS)}"
    if given.get("kind", Kind.EMAIL) not in list(Kind):
        return f"kind must be one of {', '.join(Kind)}"
    if len(given.get("search", "")) > _MOST_SEARCHED:
        return f"search must have at most {_MOST_SEARCHED} characters"
    if not all(_is_number(given.get(name, "1")) for name in ("after", "before", "limit")):
        return "after, before and limit must be numbers"
    limit = int(given.get("limit", USUAL_LIMIT))
    if not 1 <= limit <= HIGHEST_LIMIT:
        return f"limit must be 1 to {HIGHEST_LIMIT}"
    return Wanted(
        kind=Kind(given["kind"]) if "kind" in given else None,
        words=tuple(given.get("search", "").casefold().split()),
        after=int(given.get("after", 0)),
        before=int(given.get("before", _END)),
        limit=limit,
    )
