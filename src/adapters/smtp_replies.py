"""What an SMTP server's answers mean for a message."""

import re
from enum import StrEnum

from domain.outcome import ChannelDown, Outcome, Refused, TryAgain, Uncertain
from domain.personal_data import mask


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


# The first row that fits decides: phase, enhanced code (RFC 3463), code (RFC 5321, 4.2), what it means.
# A reply at MAIL or before is about us and the server, and so is subject 3 (the mail system), 421 (closing)
# and 454 (throttled; TLS or login broken for now); RFC 4954, 6 has the codes for a login that is missing.
# Everything else is about this message, and its first digit says for how long.
_TABLE = (
    ("AUTH", r".*", r"5..", "wrong login"),
    ("MAIL", r".*", r"530|535|538", "wrong login"),
    ("connecting|EHLO|STARTTLS|AUTH|MAIL", r".*", r".*", "down"),
    (r".*", r"[245]\.3\.\d+", r"[45]..", "down"),
    (r".*", r".*", r"421|454", "down"),
    (r".*", r".*", r"4..", "try again"),
    (r".*", r".*", r"5..", "refused"),
)
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|\Z)")
_REASON_LIMIT = 200


def outcome_of_reply(phase: Phase, code: int, text: str) -> Outcome:
    """What a negative reply means. One that is no reply at all (garbled, another's) counts as none."""
    enhanced = _ENHANCED.match(text)
    reason = said(f"{phase}: {code} {text}")
    for phases, enhanced_codes, codes, meaning in _TABLE:
        if (
            re.fullmatch(phases, phase)
            and re.fullmatch(enhanced_codes, enhanced[1] if enhanced else "")
            and re.fullmatch(codes, str(code))
        ):
            return _outcome(meaning, reason)
    return outcome_of_loss(phase, f"an answer that is not SMTP: {text}")


def is_reply(code: int) -> bool:
    """Whether it is a code of SMTP's at all (RFC 5321, 4.2.1)."""
    return 200 <= code <= 599  # noqa: PLR2004 - positive, intermediate and negative replies


def _outcome(meaning: str, reason: str) -> Outcome:
    match meaning:
        case "try again":
            return TryAgain(reason)
        case "refused":
            return Refused(reason)
        case _:
            return ChannelDown(reason, certain=meaning == "wrong login")


def outcome_of_loss(phase: Phase, what: str) -> ChannelDown | Uncertain:
    """What it means that no answer came: only a mail that was written whole can have been taken.

    RFC 5321, 4.5.3.2.6 warns of sending again after the final dot; before it a server delivers nothing.
    """
    reason = said(f"{phase}: {what}")
    return Uncertain(reason) if phase is Phase.CONTENT else ChannelDown(reason)


def queue_id(text: str) -> str:
    """What the server calls the mail it took, as far as it says: a text with a digit in it, or nothing."""
    name = said(_ENHANCED.sub("", text, count=1))
    return name if any(char.isdigit() for char in name) else ""


def said(text: str) -> str:
    """A server's words as one short line without addresses and numbers, and safe to store as UTF-8."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(char for char in mask(line) if char.isprintable())[:_REASON_LIMIT]
