"""What `herald doctor` finds: a line for each thing it looked at, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class FindingState(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARNING = "warning"  # it works, and somebody should know
    WRONG = "wrong"  # messages are held up or lost by it, or will be
    UNKNOWN = "unknown"  # it could not be looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`says` and `remedy`: one line each, without an address of a customer; no `remedy` where all is well."""

    name: str
    state: FindingState
    says: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """What somebody else takes for the time. `ahead`: of ours, in seconds.

    `may_lag`: it was written some while ago, so only being ahead tells anything.
    """

    source: str
    ahead: float
    may_lag: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look came to."""

    findings: tuple[Finding, ...] = ()
    clocks: tuple[ClockReading, ...] = ()


def ok(name: str, says: str) -> Finding:
    return Finding(name=name, state=FindingState.OK, says=says)


def warning(name: str, says: str, remedy: str) -> Finding:
    return Finding(name=name, state=FindingState.WARNING, says=says, remedy=remedy)


def wrong(name: str, says: str, remedy: str = "") -> Finding:
    return Finding(name=name, state=FindingState.WRONG, says=says, remedy=remedy)


def unknown(name: str, says: str, remedy: str = "") -> Finding:
    return Finding(name=name, state=FindingState.UNKNOWN, says=says, remedy=remedy)
