"""What the answers of a Twilio-compatible Messages API mean for a text."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from adapters.outcome_table import ANY, Meaning, fits, outcome_of, said
from domain.outcome import Outcome

NO_CONNECTION, NO_ANSWER = "no connection", "no answer"
SID = "a sid"


@dataclass(frozen=True, slots=True)
class Row:
    """`status`: of HTTP, or why there is none. `body`: the `code` in it, or the `sid` of a text."""

    status: str
    body: str
    meaning: Meaning


# Twilio's error codes that are about the recipient, each for good (twilio.com/docs/api/errors): no number,
# region not enabled, number not verified (trial), unsubscribed, no mobile number, no SMS to it.
_RECIPIENT = "21211, 21408, 21608, 21610, 21614, 21635"
# The first row that fits decides. 201 is the provider's word, readable or not; any other 2xx without a sid
# may be any web server's. A redirect or a 404 is met by every text alike; a 504 is a gateway's word that the
# answer was lost. A 4xx without one of the codes above may be a mistake of our own, such as a wrong sender,
# and must not make dead letters of everybody's texts.
TABLE = (
    Row("201", ANY, Meaning.SENT),
    Row("2xx", SID, Meaning.SENT),
    Row("401, 403", ANY, Meaning.DOWN_AT_ONCE),
    Row("3xx, 404, 429", ANY, Meaning.DOWN),
    Row("400", _RECIPIENT, Meaning.REFUSED),
    Row("4xx", ANY, Meaning.FAILED_FOR_NOW),
    Row("504", ANY, Meaning.UNCERTAIN),
    Row("5xx", ANY, Meaning.DOWN),
    Row(NO_CONNECTION, ANY, Meaning.DOWN),
    Row(ANY, ANY, Meaning.UNCERTAIN),  # no answer, a 2xx of somebody else's, a status that is none
)
_FOREIGN = "HTTP {status} without the sid of a text: does sms.url lead to a Messages API?"
_POSITIVE = 2
_LONGEST_PAUSE = 3600.0  # a provider's mistake must not stop the channel for a year


def outcome_of_answer(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Outcome:
    """`body` may be cut short or not JSON: then the status alone decides. `now`: epoch seconds."""
    answer = json_object(body)
    is_positive = status // 100 == _POSITIVE
    sid = _sid(answer) if is_positive else ""
    meaning = _meaning(str(status), (SID if sid else "") if is_positive else str(answer.get("code", "")))
    if meaning is Meaning.SENT:
        return outcome_of(meaning, sid)
    reason = _reason(status, answer) if not is_positive else _FOREIGN.format(status=status)
    return outcome_of(meaning, reason, _pause(headers.get("retry-after", ""), now))


def outcome_of_loss(*, is_written: bool, what: str) -> Outcome:
    """What it means that no answer came: only a request that began to be written can have been taken."""
    return outcome_of(_meaning(NO_ANSWER if is_written else NO_CONNECTION, ""), said(what))


def _meaning(status: str, body: str) -> Meaning:
    return next(row.meaning for row in TABLE if fits(row.status, status) and fits(row.body, body))


def _sid(answer: Mapping[str, object]) -> str:
    sid = answer.get("sid")
    return said(sid) if isinstance(sid, str) else ""


def json_object(body: bytes) -> Mapping[str, object]:
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
