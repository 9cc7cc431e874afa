"""Messages a second, from what was read at several moments: never below 0, None where it is not known."""

from collections.abc import Sequence
from itertools import pairwise

from application.board_reading import Reading
from domain.presence import ProcessReport

# Over less than this a rate says more about when was looked than about what happened.
SHORTEST_SECONDS = 2.0
_Told = tuple[Reading, ProcessReport]
_FINISHED = ("sent", "dead", "expired", "skipped")


def rate_in(readings: Sequence[Reading], topic: str) -> float | None:
    """How fast the topic's partitions grew. One that begins anew, at 0, grew by nothing then."""
    known = [reading for reading in readings if reading.lags is not None]
    if not _are_apart(known):
        return None
    grown = sum(_grown(before, after, topic) for before, after in pairwise(known))
    return grown / _seconds(known)


def _grown(before: Reading, after: Reading, topic: str) -> int:
    was, ends = before.ends(topic), after.ends(topic)
    return sum(max(0, ends[shard] - was[shard]) for shard in ends.keys() & was.keys())


def rate_out(readings: Sequence[Reading], topic: str, group: str) -> float | None:
    """How fast the group finished messages of the topic, told by its processes.

    Each counts from its start, and tells it at moments of its own: between two of those the rate is certain.
    One that came or went meanwhile is spread over all the time.
    """
    known = [reading for reading in readings if reading.reports is not None]
    if not _are_apart(known):
        return None
    # By name, the reports that each told, oldest first: a name is never another process's.
    told: dict[str, list[_Told]] = {}
    for reading in known:
        for report in reading.reports or ():
            if report.group == group:
                told.setdefault(report.process, []).append((reading, report))
    return sum((_rate_of(reports, known, topic) for reports in told.values()), 0.0)


def _rate_of(reports: Sequence[_Told], readings: Sequence[Reading], topic: str) -> float:
    (_, oldest), (_, newest) = reports[0], reports[-1]
    finished = max(0, _finished(reports[-1], topic) - _finished(reports[0], topic))
    if len(reports) < len(readings):
        if oldest.started_at >= readings[0].at:
            finished = _finished(reports[-1], topic)
        return finished / _seconds(readings)
    return finished / max(newest.at - oldest.at, SHORTEST_SECONDS)


def _finished(told: _Told, topic: str) -> int:
    reading, report = told
    work = reading.work_of(report, topic)
    return 0 if work is None else sum(work.outcomes.get(name, 0) for name in _FINISHED)


def _are_apart(readings: Sequence[Reading]) -> bool:
    return len(readings) > 1 and _seconds(readings) >= SHORTEST_SECONDS


def _seconds(readings: Sequence[Reading]) -> float:
    return readings[-1].ticks - readings[0].ticks
