"""Which cells of a table are in colour on a terminal, in rich's words: red for trouble, yellow to look at."""

from collections.abc import Mapping

_WELL, _LOOK, _TROUBLE, _QUIET = "green", "yellow", "bold red", "dim"
_STATES = {
    **dict.fromkeys(("sent", "well", "up", "yes"), _WELL),
    **dict.fromkeys(("retrying", "uncertain", "deferred", "expired"), _LOOK),
    **dict.fromkeys(("dead", "unwell", "down"), _TROUBLE),
    **dict.fromkeys(("skipped", "absent"), _QUIET),
}
_BY_COLUMN: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("state", "event", "health"), _STATES),
    "exists": {"no": _TROUBLE},
}
_COUNTS_OF_WHAT_WAITS = ("lag", "deferred", "answers lost")


def style_of(column: str, cell: str) -> str:
    """Empty for a cell without colour."""
    if column in _COUNTS_OF_WHAT_WAITS:
        return "" if cell in {"", "0"} else _LOOK
    return _BY_COLUMN.get(column, {}).get(cell, "")
