"""What an SMTP server's answers mean for a message."""

import re
from dataclasses import dataclass
from enum import StrEnum

from adapters.outcome_table import ANY, Meaning, fits, outcome_of, said
from domain.outcome import Outcome


class Phase(StrEnum):
    """How far a mail has come. The member's text is how a reason names it."""

    CONNECT = "connecting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"  # the command alone: nothing of the mail is on its way
    CONTENT = "the final dot"  # the mail was written: without an answer it may have been taken


NO_REPLY = "no reply"
"""Silence, a broken connection, or what is no negative reply of SMTP's."""


@dataclass(frozen=True, slots=True)
class Row:
    """`enhanced`: of RFC 3463; `reply`: of RFC 5321, 4.2."""

    phase: str
    enhanced: str
    reply: str
    meaning: Meaning


# The first row that fits decides. A reply at MAIL or before is about us and the server, and so is subject 3
# (the mail system), 421 (closing) and 454 (throttled; TLS or login broken for now); RFC 4954, 6 has the codes
# for a login that is missing. Everything else is about this message, and the reply's first digit says for how
# long, whatever class the enhanced code claims (RFC 5321, 4.2.1). Without a reply only a mail that was
# written whole can have been taken: RFC 5321, 4.5.3.2.6 warns of sending that again.
TABLE = (
    Row("AUTH", ANY, "5yz", Meaning.DOWN_AT_ONCE),
    Row("MAIL", ANY, "530, 535, 538", Meaning.DOWN_AT_ONCE),
    Row("connecting, EHLO, STARTTLS, AUTH, MAIL", ANY, ANY, Meaning.DOWN),
    Row("RCPT, DATA, the final dot", "x.3.z", "4yz, 5yz", Meaning.DOWN),
    Row("RCPT, DATA, the final dot", ANY, "421, 454", Meaning.DOWN),
    Row("RCPT, DATA, the final dot", ANY, "4yz", Meaning.FAILED_FOR_NOW),
    Row("RCPT, DATA, the final dot", ANY, "5yz", Meaning.REFUSED),
    Row("RCPT, DATA", ANY, NO_REPLY, Meaning.DOWN),
    Row("the final dot", ANY, NO_REPLY, Meaning.UNCERTAIN),
)
_NEGATIVE = 400
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|\Z)", re.ASCII)


def outcome_of_reply(phase: Phase, code: int, text: str) -> Outcome:
    """What a negative reply means. One that is none (garbled, another command's) counts as no reply."""
    if not is_reply(code):
        return outcome_of_loss(phase, f"an answer that is not SMTP: {text}")
    enhanced = _ENHANCED.match(text)
    reply = str(code) if code >= _NEGATIVE else NO_REPLY
    meaning = _meaning(phase, enhanced[1] if enhanced else "", reply)
    return outcome_of(meaning, said(f"{phase}: {code} {text}"))


def outcome_of_loss(phase: Phase, what: str) -> Outcome:
    """What it means that no reply came."""
    return outcome_of(_meaning(phase, "", NO_REPLY), said(f"{phase}: {what}"))


def _meaning(phase: Phase, enhanced: str, reply: str) -> Meaning:
    return next(
        row.meaning
        for row in TABLE
        if fits(row.phase, phase) and fits(row.enhanced, enhanced) and fits(row.reply, reply)
    )


def is_reply(code: int) -> bool:
    """Whether it is a code of SMTP's at all (RFC 5321, 4.2.1)."""
    return 200 <= code <= 599  # noqa: PLR2004 - positive, intermediate and negative replies


def queue_id(text: str) -> str:
    """What the server calls the mail it took, as far as it says: a text with a digit in it, or nothing."""
    name = said(_ENHANCED.sub("", text, count=1))
    return name if any(char.isdigit() for char in name) else ""
