"""Moments as a command line names them."""

import re
import time

from domain.message import parse_time

FORMS = "2h, 7d, 2030-01-31 or 2030-01-31T12:00:00Z"

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_ago = re.compile(r"(\d{1,9})([smhd])\Z").match
_date = re.compile(r"\d{4}-\d\d-\d\d\Z").match


def epoch_seconds(text: str) -> float | None:
    """Of so long ago, of a date in UTC, or of an RFC 3339 time; None: it is none of these."""
    if ago := _ago(text):
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    parsed = parse_time(f"{text}T00:00:00Z" if _date(text) else text)
    return None if parsed is None else parsed.timestamp()
