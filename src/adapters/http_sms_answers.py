"""What the answers of a Twilio-compatible Messages API mean for a text."""

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.personal_data import mask

# Twilio's error codes that are about the recipient, each for good (twilio.com/docs/api/errors): no number,
# region not enabled, number not verified (trial), unsubscribed, no mobile number, no SMS to it.
_RECIPIENT = r"21211|21408|21608|21610|21614|21635"
# The first row that fits decides: status, code in the body, what it means. A redirect or a 404 is met by
# every text alike; a 504 is a gateway's word that the answer was lost. A 4xx without one of the codes above
# may be a mistake of our own, such as a wrong sender, and must not make dead letters of everybody's texts.
_TABLE = (
    (r"2..", r".*", "accepted"),
    (r"401|403", r".*", "wrong login"),
    (r"3..|404|429", r".*", "down"),
    (r"400", _RECIPIENT, "refused"),
    (r"4..", r".*", "try again"),
    (r"504", r".*", "uncertain"),
    (r"5..", r".*", "down"),
    (r".*", r".*", "uncertain"),
)
_CREATED = 201
_REASON_LIMIT = 200
_LONGEST_PAUSE = 3600.0  # a provider's mistake must not stop the channel for a year


def outcome_of_answer(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Outcome:
    """`body` may be cut short or not JSON: then the status alone decides. `now`: epoch seconds."""
    answer = _json_object(body)
    code = str(answer.get("code", ""))
    reason = _reason(status, answer)
    after = _pause(headers.get("retry-after", ""), now)
    match _meaning(status, code):
        case "accepted":
            return _accepted(status, answer)
        case "refused":
            return Refused(reason)
        case "try again":
            return TryAgain(reason, after)
        case "uncertain":
            return Uncertain(reason)
        case meaning:
            return ChannelDown(reason, after, certain=meaning == "wrong login")


def said(text: str) -> str:
    """A provider's words as one short line without addresses and numbers, and safe to store as UTF-8."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(char for char in mask(line) if char.isprintable())[:_REASON_LIMIT]


def _meaning(status: int, code: str) -> str:
    return next(
        meaning
        for statuses, codes, meaning in _TABLE
        if re.fullmatch(statuses, str(status)) and re.fullmatch(codes, code, re.DOTALL)
    )


def _accepted(status: int, answer: Mapping[str, object]) -> Outcome:
    """201 is the provider's word, readable or not. Any other 2xx without a sid may be any web server's."""
    sid = answer.get("sid")
    if isinstance(sid, str) and sid:
        return Delivered(said(sid))
    if status == _CREATED:
        return Delivered()
    return Uncertain(f"HTTP {status} without the sid of a text: does sms.url lead to a Messages API?")


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _reason(status: int, answer: Mapping[str, object]) -> str:
    code, message = answer.get("code"), answer.get("message")
    parts = [f"HTTP {status}"]
    if isinstance(code, int):
        parts.append(f"code {code}")
    if isinstance(message, str):
        parts.append(message)
    return said(": ".join(parts))


def _pause(retry_after: str, now: float) -> float:
    """Seconds of a Retry-After (RFC 9110, 10.2.3), a number or a date; 0 where there is none."""
    if re.fullmatch(r"[0-9]+", retry_after):
        return min(float(retry_after), _LONGEST_PAUSE)
    try:
        seconds = parsedate_to_datetime(retry_after).timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_PAUSE)
