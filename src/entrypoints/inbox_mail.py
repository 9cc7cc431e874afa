"""From the bytes of a mail to what a person wants to see of it. Nothing that came is an error."""

import email
import re
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.policy import compat32
from html import unescape

from entrypoints.inbox_store import Kind, MailView, ReceivedMail
from entrypoints.plain_http import json_bytes

_ROW_CHARACTERS = 200
_UNSEEN = ("style", "script", "head")
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def mail_view(mail: ReceivedMail) -> MailView:
    """The mail as JSON (from, to, subject, text, html, message_id, at), its row, and what a search looks at.

    `to` is who the envelope named, not what the header says; several are parted by commas.
    """
    try:
        parts = _parts(mail.raw)
    except Exception:  # noqa: BLE001 - the parser raises all sorts of things on broken MIME
        parts = {"text": _text_of(mail.raw, None)}
    fields = {
        "from": parts.get("from") or cleaned(mail.sender),
        "to": cleaned(", ".join(mail.recipients)),
        "subject": parts.get("subject", ""),
        "text": parts.get("text", ""),
        "html": parts.get("html", ""),
        "message_id": parts.get("message_id", ""),
        "at": rfc3339(mail.at),
    }
    seen = fields["text"] or text_in(fields["html"])
    return MailView(whole=json_bytes(fields), row=_row(mail, fields, seen), words=_words(mail, fields, seen))


def _row(mail: ReceivedMail, fields: dict[str, str], seen: str) -> bytes:
    subject = fields["subject"]
    return json_bytes(
        {
            "number": mail.number,
            "kind": Kind.EMAIL,
            "from": shortened(fields["from"]),
            "to": shortened(fields["to"]),
            "subject": shortened(subject),
            # Many mails begin with their subject once more.
            "snippet": shortened(seen.lstrip().removeprefix(subject)),
            "at": fields["at"],
            "bytes": len(mail.raw),
        }
    )


def _words(mail: ReceivedMail, fields: dict[str, str], seen: str) -> str:
    message_id = fields["message_id"]
    # A request id stands in a Message-ID with some of its signs written otherwise.
    plain_id = message_id.replace("=3A", ":").replace("=2E", ".")
    looked_at = (
        fields["from"],
        cleaned(mail.sender),
        fields["to"],
        fields["subject"],
        message_id,
        plain_id,
        seen,
    )
    return "\n".join(looked_at).casefold()


def text_in(html: str) -> str:
    """Roughly what is read where there is only HTML. Quick also where it is huge and broken on purpose."""
    first, *pieces = html.split("<")
    kept, unseen = [first], ""
    for piece in pieces:
        tag, _, text = piece.partition(">")
        name = tag[:10].lower()
        if unseen:
            unseen = "" if name.startswith(f"/{unseen}") else unseen
        else:
            unseen = next((each for each in _UNSEEN if name.startswith(each) and name != "header"), "")
        kept.append("" if unseen else text)
    return unescape(" ".join(kept))


def shortened(text: str) -> str:
    """The beginning of a text on one line, for a list."""
    return " ".join(text[: 2 * _ROW_CHARACTERS].split())[:_ROW_CHARACTERS]


def rfc3339(seconds: float) -> str:
    """An epoch time in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parts(raw: bytes) -> dict[str, str]:
    message = email.message_from_bytes(raw, policy=compat32)
    headers: dict[str, str] = {}
    for name, value in message.raw_items():
        headers.setdefault(name.lower(), value)
    return {
        "from": header_text(headers.get("from", "")),
        "subject": header_text(headers.get("subject", "")),
        "message_id": cleaned(headers.get("message-id", "")).strip(),
        "text": _body(message, "text/plain"),
        "html": _body(message, "text/html"),
    }


def header_text(value: str) -> str:
    """A header's value unfolded and, where it has encoded words (RFC 2047), decoded."""
    unfolded = cleaned(_FOLD.sub("", value)).strip()
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
            return cleaned(payload.decode(name))
        except (ValueError, LookupError):
            continue
    return payload.decode("latin-1")


def cleaned(text: str) -> str:
    """The parser's stand-ins for 8-bit bytes (surrogates) as the UTF-8 text they came from."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if _has_stand_in(text) else text


def _has_stand_in(text: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in text)
