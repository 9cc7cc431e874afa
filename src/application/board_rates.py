"""Messages a second, from what was read at several moments: never below 0, None where it is not known."""

from collections.abc import Sequence
from itertools import pairwise

from application.board_reading import Reading
from domain.presence import ProcessReport

# Over less than this a rate says more about when was looked than about what happened.
SHORTEST_SECONDS = 2.0
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
    told: dict[str, list[ProcessReport]] = {}
    for reading in known:
        for report in reading.reports or ():
            if report.group == group:
                told.setdefault(report.process, []).append(report)
    return sum((_rate_of(reports, known, topic) for reports in told.values()), 0.0)


def _rate_of(reports: Sequence[ProcessReport], readings: Sequence[Reading], topic: str) -> float:
    oldest, newest = reports[0], reports[-1]
    finished = max(0, _finished(newest, topic) - _finished(oldest, topic))
    if len(reports) < len(readings):
        if oldest.started_at >= readings[0].at:
            finished = _finished(newest, topic)
        return finished / _seconds(readings)
    return finished / max(newest.at - oldest.at, SHORTEST_SECONDS)


def _finished(report: ProcessReport, topic: str) -> int:
    outcomes = [work.outcomes for work in report.topics if work.topic == topic]
    return sum(counts.get(name, 0) for counts in outcomes for name in _FINISHED)


def _are_apart(readings: Sequence[Reading]) -> bool:
    return len(readings) > 1 and _seconds(readings) >= SHORTEST_SECONDS


def _seconds(readings: Sequence[Reading]) -> float:
    return readings[-1].ticks - readings[0].ticks
