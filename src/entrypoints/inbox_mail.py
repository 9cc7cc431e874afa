"""From the bytes of a mail to what a person wants to see of it. Nothing that came is an error."""

import email
import re
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.policy import compat32

from entrypoints.inbox_store import ReceivedMail
from entrypoints.plain_http import json_bytes

_FOLD = re.compile(r"\r?\n(?=[ \t])")


def shown_mail(mail: ReceivedMail) -> bytes:
    """The mail's JSON: from, to, subject, text, html, message_id, at.

    `to` is who the envelope named, not what the header says; several are parted by commas.
    """
    try:
        parts = _parts(mail.raw)
    except Exception:  # noqa: BLE001 - the parser raises all sorts of things on broken MIME
        parts = {"text": _text_of(mail.raw, None)}
    return json_bytes(
        {
            "from": parts.get("from") or _clean(mail.sender),
            "to": _clean(", ".join(mail.recipients)),
            "subject": parts.get("subject", ""),
            "text": parts.get("text", ""),
            "html": parts.get("html", ""),
            "message_id": parts.get("message_id", ""),
            "at": rfc3339(mail.at),
        }
    )


def rfc3339(seconds: float) -> str:
    """An epoch time in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parts(raw: bytes) -> dict[str, str]:
    message = email.message_from_bytes(raw, policy=compat32)
    headers: dict[str, str] = {}
    for name, value in message.raw_items():
        headers.setdefault(name.lower(), value)
    return {
        "from": _header(headers.get("from", "")),
        "subject": _header(headers.get("subject", "")),
        "message_id": _clean(headers.get("message-id", "")).strip(),
        "text": _body(message, "text/plain"),
        "html": _body(message, "text/html"),
    }


def _header(value: str) -> str:
    """A header's value unfolded and, where it has encoded words (RFC 2047), decoded."""
    unfolded = _clean(_FOLD.sub("", value)).strip()
    if "=?" not in unfolded:
        return unfolded
    try:
        chunks = decode_header(unfolded)
    except HeaderParseError:
        return unfolded
    return "".join(_chunk(chunk, charset) for chunk, charset in chunks) or unfolded


def _chunk(chunk: bytes | str, charset: str | None) -> str:
    if isinstance(chunk, str):
        return chunk
    # decode_header hands the plain text between encoded words out in this form.
    return chunk.decode("raw-unicode-escape", "replace") if charset is None else _text_of(chunk, charset)


def _body(message: Message, kind: str) -> str:
    for part in message.walk():
        wanted = part.get_content_type() == kind and part.get_content_disposition() != "attachment"
        payload = part.get_payload(decode=True) if wanted else None
        if isinstance(payload, bytes):
            return _text_of(payload, part.get_content_charset()).replace("\r\n", "\n")
    return ""


def _text_of(payload: bytes, charset: str | None) -> str:
    """The text in the named charset; in UTF-8, else Latin-1, where that one is unknown or wrong."""
    for name in (charset or "utf-8", "utf-8"):
        try:
            return _clean(payload.decode(name))
        except (ValueError, LookupError):
            continue
    return payload.decode("latin-1")


def _clean(text: str) -> str:
    """The parser's stand-ins for 8-bit bytes (surrogates) as the UTF-8 text they came from."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if _has_stand_in(text) else text


def _has_stand_in(text: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in text)
