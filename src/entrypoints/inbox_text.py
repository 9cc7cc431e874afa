"""A text message as a person sees it, and how many messages a carrier makes of it."""

from dataclasses import dataclass
from typing import Any

from entrypoints.inbox_mail import rfc3339, shortened
from entrypoints.inbox_store import Kind, ReceivedText

# 3GPP TS 23.038, 6.2.1: the default alphabet, and what takes two of its characters.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_DOUBLE = frozenset("\f^{}\\[~]|€")


@dataclass(frozen=True, slots=True)
class Segments:
    """`units` of an alphabet, sent as `count` messages."""

    alphabet: str
    units: int
    count: int


def segments_of(body: str) -> Segments:
    """One message has room for 160 GSM characters or 70 UTF-16 units, each of several for 153 or 67."""
    if all(sign in _GSM or sign in _GSM_DOUBLE for sign in body):
        units = len(body) + sum(sign in _GSM_DOUBLE for sign in body)
        return Segments("GSM-7", units, _count(units, alone=160, together=153))
    units = len(body.encode("utf-16-le", "surrogatepass")) // 2
    return Segments("UCS-2", units, _count(units, alone=70, together=67))


def _count(units: int, *, alone: int, together: int) -> int:
    return 1 if units <= alone else -(-units // together)


def shown_text(text: ReceivedText) -> dict[str, Any]:
    """The text's JSON."""
    return {
        "sid": text.sid,
        "from": text.sender,
        "to": text.recipient,
        "body": text.body,
        "idempotency_key": text.idempotency_key,
        "at": rfc3339(text.at),
    }


def text_row(text: ReceivedText) -> dict[str, Any]:
    """The text's row in a list; its first line stands where a mail has its subject."""
    first, _, rest = text.body.strip().partition("\n")
    return {
        "number": text.number,
        "kind": Kind.SMS,
        "from": shortened(text.sender),
        "to": shortened(text.recipient),
        "subject": shortened(first),
        "snippet": shortened(rest),
        "at": rfc3339(text.at),
        "bytes": len(text.body.encode("utf-8", "replace")),
    }


def opened_text(text: ReceivedText) -> dict[str, Any]:
    """Everything about it."""
    segments = segments_of(text.body)
    return {
        "number": text.number,
        "kind": Kind.SMS,
        **shown_text(text),
        "alphabet": segments.alphabet,
        "units": segments.units,
        "segments": segments.count,
    }


def text_words(text: ReceivedText) -> str:
    """What a search looks at."""
    looked_at = (text.sender, text.recipient, text.body, text.idempotency_key or "", text.sid)
    return "\n".join(looked_at).casefold()
