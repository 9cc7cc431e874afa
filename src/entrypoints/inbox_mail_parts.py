"""What one mail is made of, for the person who opened it."""

import email
import json
from collections.abc import Iterator
from email.message import Message
from email.policy import compat32
from itertools import islice
from typing import Any

from entrypoints.inbox_mail import cleaned, header_text, mail_view
from entrypoints.inbox_store import Kind, ReceivedMail

_MOST_HEADERS = 500
_MOST_ATTACHMENTS = 100


def opened_mail(mail: ReceivedMail) -> dict[str, Any]:
    """All but its HTML, which is shown in a frame of its own."""
    fields = fields_of(mail)
    message = _parsed(mail.raw)
    headers = [] if message is None else list(message.raw_items())
    shown = [[cleaned(name), header_text(value)] for name, value in headers[:_MOST_HEADERS]]
    return {
        "number": mail.number,
        "kind": Kind.EMAIL,
        **{name: value for name, value in fields.items() if name != "html"},
        "has_html": bool(fields["html"]),
        "sender": cleaned(mail.sender),
        "headers": shown,
        "headers_left_out": len(headers) - len(shown),
        "attachments": [] if message is None else list(islice(_attachments(message), _MOST_ATTACHMENTS)),
        "bytes": len(mail.raw),
    }


def fields_of(mail: ReceivedMail) -> dict[str, str]:
    """The mail's JSON, taken apart again."""
    fields: dict[str, str] = json.loads((mail.view or mail_view(mail)).whole)
    return fields


def _parsed(raw: bytes) -> Message | None:
    try:
        return email.message_from_bytes(raw, policy=compat32)
    except Exception:  # noqa: BLE001 - the parser raises all sorts of things on broken MIME
        return None


def _attachments(message: Message) -> Iterator[dict[str, Any]]:
    for part in message.walk():
        name = part.get_filename()
        if part.is_multipart() or (name is None and part.get_content_disposition() != "attachment"):
            continue
        payload = part.get_payload(decode=True)
        yield {
            "name": header_text(name or ""),
            "type": part.get_content_type(),
            "bytes": len(payload) if isinstance(payload, bytes) else 0,
        }
