"""Two consumer processes on one topic beside one, a provider of 20 ms and 64 in flight in each.

The messages wait in the log. Counted are some seconds in which all processes deliver: after they are ready,
and after the group has come to rest. All processes share the measured core and the broker has the other
one, so a rate that grows by less than the processes may be the machine's; CPU per message says whether it
is.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.bench import Bench
from benchmarks.consumer import Job
from benchmarks.deliveries import Mark, RunningConsumer, fill_topic, site_of
from benchmarks.figures import RATE, Section, Take, Target, Turn, in_turns

_ONE = "Herald, one process"
_TWO = "Herald, two processes"
_SECONDS = 0.020
_SETTLE_SECONDS = 2.0
_MEASURED_SECONDS = 4.0
_MESSAGES = 60_000  # more than two deliver in that time


def processes(bench: Bench) -> list[Section]:
    """On Kafka: on SQLite one process of a group works and the others stand by."""
    if not bench.kafka:
        return []
    takes = {_ONE: _take(bench, 1), _TWO: _take(bench, 2)}
    targets = [Target(_TWO, RATE, beside=_ONE, must=1.7, aim=1.9)]
    return [Section("deliver in 20 ms, processes", in_turns(takes, bench.rounds, bench.note), targets)]


def _take(bench: Bench, count: int) -> Take:
    def take(number: int) -> Turn:
        site = site_of(bench, "kafka", f"{count}-processes-{number}")
        fill_topic(site, _MESSAGES)
        job = Job(site=site, count=0, answer_seconds=_SECONDS, samples=True)
        with ExitStack() as stack:
            consumers = [stack.enter_context(RunningConsumer(bench, job)) for _ in range(count)]
            for consumer in consumers:
                consumer.await_ready()
            time.sleep(_SETTLE_SECONDS)
            began = time.monotonic()
            time.sleep(_MEASURED_SECONDS)
            ended = time.monotonic()
            for consumer in consumers:
                consumer.stop()
            return _turn([consumer.result()["marks"] for consumer in consumers], began, ended)

    return take


def _turn(samples: Sequence[Sequence[Mark]], began: float, ended: float) -> Turn:
    """What all of them delivered between two moments of the machine's monotonic clock."""
    firsts, lasts = ([_at(marks, moment) for marks in samples] for moment in (began, ended))
    pairs = list(zip(firsts, lasts, strict=True))
    return Turn.counted(
        sum(last[0] - first[0] for first, last in pairs),
        sum(last[1] - first[1] for first, last in pairs) / len(pairs),
        sum(last[2] - first[2] for first, last in pairs),
    )


def _at(marks: Sequence[Mark], moment: float) -> Mark:
    """The first one from that moment on, or the last."""
    return marks[min(bisect_left(marks, moment, key=lambda mark: mark[1]), len(marks) - 1)]
