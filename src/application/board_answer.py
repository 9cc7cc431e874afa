"""The board as JSON objects, for `GET /api/v1/board` and `GET /api/v1/history`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from application.board_history import STEP_SECONDS, GroupStep, History, TopicStep
from application.board_rates import rate_in, rate_out
from application.board_reading import Reading
from domain.presence import ChannelState, ProcessReport
from domain.topic import Topic

_NO_STEP = GroupStep()
_SOME_TROUBLE = "not all can be read now"


def board_answer(
    readings: Sequence[Reading], topics: Sequence[Topic], *, is_all: bool = True
) -> dict[str, Any]:
    """`readings`: oldest first; what is shown is how the last one stands.

    `is_all`: the asker may know of every topic; what is wrong may name one that he may not.
    """
    newest, names = readings[-1], {topic.name for topic in topics}
    reports = [report for report in newest.reports or () if names & _worked_on(report)]
    return {
        "as_of": _moment(newest.at),
        "trouble": newest.trouble if is_all or newest.trouble is None else _SOME_TROUBLE,
        "topics": [_topic(readings, topic) for topic in topics],
        "consumers": [_consumer(report, names) for report in reports],
    }


def history_answer(history: History, topics: Sequence[Topic], now: float) -> dict[str, Any]:
    """All lists are of the same length."""
    ends_at = history.ends_at
    return {
        "step_seconds": STEP_SECONDS,
        "ends_at": _moment(now if ends_at is None else ends_at),
        "topics": [_topic_history(history.of(topic.name), topic) for topic in topics],
    }


def _topic(readings: Sequence[Reading], topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "partitions": topic.partitions,
        "rate_in": _rounded(rate_in(readings, topic.name)),
        "groups": [_group(readings, topic.name, group) for group in topic.groups],
    }


def _group(readings: Sequence[Reading], topic: str, group: str) -> dict[str, Any]:
    newest = readings[-1]
    lags = newest.lags_of(topic, group)
    of_group = [one for one in newest.reports or () if one.group == group]
    reports = [one for one in of_group if newest.work_of(one, topic) is not None]
    oldest = None if lags is None else max((lag.oldest_unfinished_seconds for lag in lags), default=0.0)
    return {
        "name": group,
        "rate_out": _rounded(rate_out(readings, topic, group)),
        "lag": None if lags is None else sum(lag.lag for lag in lags),
        "deferred": None if lags is None else sum(lag.deferred for lag in lags),
        "oldest_unfinished_seconds": oldest,
        "processes": len(reports),
        "processes_down": sum(not one.channel.up for one in reports),
        "channel": _channel_of_all(reports),
    }


def _channel_of_all(reports: Sequence[ProcessReport]) -> dict[str, Any]:
    """Down while one process finds it down, since the first did: who only stands by does not know better."""
    if not reports:
        return {"state": "unknown", "since": None, "reason": ""}
    if down := [one.channel for one in reports if not one.channel.up]:
        return _channel(min(down, key=lambda channel: channel.since))
    working = [one for one in reports if any(work.partitions for work in one.topics)] or reports
    return _channel(max((one.channel for one in working), key=lambda channel: channel.since))


def _consumer(report: ProcessReport, topics: set[str]) -> dict[str, Any]:
    work = [{"name": one.topic, "partitions": one.partitions} for one in report.topics if one.topic in topics]
    return {
        "group": report.group,
        "process": report.process,
        "host": report.host,
        "pid": report.pid,
        "version": report.version,
        "started_at": _moment(report.started_at),
        "at": _moment(report.at),
        "waiting": report.waiting,
        "in_flight": report.in_flight,
        "channel": _channel(report.channel),
        "topics": work,
    }


def _channel(channel: ChannelState) -> dict[str, Any]:
    state = "up" if channel.up else "down"
    return {"state": state, "since": _moment(channel.since), "reason": channel.reason}


def _worked_on(report: ProcessReport) -> set[str]:
    return {work.topic for work in report.topics}


def _topic_history(steps: Sequence[TopicStep], topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "rate_in": [_rounded(step.rate_in) for step in steps],
        "groups": [_group_history(group, steps) for group in topic.groups],
    }


def _group_history(name: str, of_topic: Sequence[TopicStep]) -> dict[str, Any]:
    steps = [step.groups.get(name, _NO_STEP) for step in of_topic]
    return {
        "name": name,
        "rate_out": [_rounded(step.rate_out) for step in steps],
        "lag": [step.lag for step in steps],
        "deferred": [step.deferred for step in steps],
    }


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 2)


def _moment(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
