"""Readings and reports as tests of the board want them."""

from collections.abc import Mapping

from application.board_reading import Reading
from domain.lag import Lag
from domain.presence import ChannelState, ProcessReport, TopicWork

TIME = 1_800_000_000.0


def lag(end: int, *, partition: int = 0, group: str = "email", behind: int = 0, deferred: int = 0) -> Lag:
    return Lag(
        group=group,
        topic="transactions",
        partition=partition,
        end=end,
        committed=end - behind,
        lag=behind,
        deferred=deferred,
        oldest_unfinished_seconds=float(behind),
    )


def report(
    name: str = "one",
    sent: int = 0,
    *,
    at: float = 0.0,
    started_at: float = -1000.0,
    group: str = "email",
    partitions: int = 6,
    channel: ChannelState | None = None,
    outcomes: Mapping[str, int] | None = None,
    topic: str = "transactions",
) -> ProcessReport:
    """`at` and `started_at`: seconds after `TIME`."""
    work = TopicWork(topic=topic, partitions=partitions, outcomes=outcomes or {"sent": sent})
    return ProcessReport(
        process=name,
        group=group,
        host="here",
        pid=1,
        version="1.2.3",
        started_at=TIME + started_at,
        at=TIME + at,
        channel=channel or ChannelState(up=True, since=TIME + started_at),
        in_flight=0,
        topics=(work,),
    )


def reading(
    seconds: float, *lags: Lag, reports: list[ProcessReport] | None = None, trouble: str | None = None
) -> Reading:
    """`seconds` after `TIME`. Without lags and reports: nothing could be read."""
    return Reading(
        at=TIME + seconds, ticks=seconds, lags=list(lags) or None, reports=reports, trouble=trouble
    )
