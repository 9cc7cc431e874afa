"""What a hot key does to the others: 100,000 keys under a steady open load, and the same with a hot key
beside.

An age is the time from when a message is due in the log, by the load's schedule, to its delivery; so it has
all in it: the append, the fetch, the wait in the lanes, the provider. Nobody waits for anybody: what is
late makes nothing after it late. The hot key gets as many messages as all others together, beside them:
theirs stay the same, the process has twice the work.

Two providers. One answers at once: then all 100,000 keys come by, a message each. One takes 2 ms: then the
hot key's lane, one message at a time, can do some 400 a second, and gets 250. A key that gets more than its
lane can do for ever is no question of fairness: its messages pile up, and once they are a shard's share of
what is held (`HoldingLimits`), its partition is read no faster than it is delivered. The last row shows
that: a key that gets twice what its lane can do, for as long as what has piled up stays below that share.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import quantiles

from benchmarks.bench import Bench
from benchmarks.consumer import Job
from benchmarks.deliveries import RunningConsumer, fill_topic, site_of
from benchmarks.figures import Measure, Section, Take, Target, Turn, in_turns
from benchmarks.processes import run_module
from benchmarks.steady_load import Load

P50_OTHERS = Measure("p50 of the others", "ms", digits=1)
P99_OTHERS = Measure("p99 of the others", "ms", digits=1)
LATE = Measure("load late by at most", "ms", digits=1)
_KEYS = 100_000
_AT_ONCE = "100,000 keys, 5,000/s, provider at once"
_SLOW = "100,000 keys, 250/s, provider of 2 ms"
_HOT_AT_ONCE = "Herald, the same and a hot key, 5,000/s more"
_HOT_SLOW = "Herald, the same and a hot key, 250/s more"
_FLOODED = "Herald, the same and a hot key, 750/s more for 4 s"
_SLOW_SECONDS = 0.002
_WARM_UP_SECONDS = 2.0
_MOST_ROUNDS = 2  # for each turn takes as long as its load


def keys(bench: Bench) -> list[Section]:
    """On Kafka alone: what is asked is how the engine shares, and that is the same on every log."""
    if not bench.kafka:
        return []
    at_once = {
        _AT_ONCE: _take(bench, 0.0, rate=5_000, seconds=20),
        _HOT_AT_ONCE: _take(bench, 0.0, rate=5_000, seconds=20, hot_rate=5_000),
    }
    slow = {
        _SLOW: _take(bench, _SLOW_SECONDS, rate=250, seconds=12),
        _HOT_SLOW: _take(bench, _SLOW_SECONDS, rate=250, seconds=12, hot_rate=250),
        _FLOODED: _take(bench, _SLOW_SECONDS, rate=250, seconds=12, hot_rate=750, hot_seconds=4),
    }
    rounds = min(bench.rounds, _MOST_ROUNDS)
    hot = {_HOT_AT_ONCE: _AT_ONCE, _HOT_SLOW: _SLOW, _FLOODED: _SLOW}
    targets = [Target(what, P99_OTHERS, must=2.0, beside=beside) for what, beside in hot.items()]
    return [
        Section("hot key, provider at once", in_turns(at_once, rounds, bench.note), targets[:1]),
        Section("hot key, provider of 2 ms", in_turns(slow, rounds, bench.note), targets[1:]),
    ]


def _take(bench: Bench, answer_seconds: float, *, rate: float, seconds: float, **hot: float) -> Take:
    def take(number: int) -> Turn:
        site = site_of(bench, "kafka", f"keys-{answer_seconds}-{sum(hot.values())}-{number}")
        load = Load(site=site, rate=rate, seconds=seconds, keys=_KEYS, **hot)
        fill_topic(site, 0)
        job = Job(site=site, count=round(rate * seconds), answer_seconds=answer_seconds, ages=True)
        with RunningConsumer(bench, job) as consumer:
            consumer.await_ready()
            loaded = run_module("steady_load", json.dumps(asdict(load)))
            ages = consumer.result()["ages"]
        return _turn(ages, loaded)

    return take


def _turn(ages: Sequence[tuple[float, float]], loaded: Mapping[str, float]) -> Turn:
    """Without the first seconds, in which everything is done for the first time."""
    begins = ages[0][0] + _WARM_UP_SECONDS
    steady = [1_000 * age for due, age in ages if due >= begins]
    hundredths = quantiles(steady, n=100)
    figures = {P50_OTHERS: hundredths[49], P99_OTHERS: hundredths[98], LATE: 1_000 * loaded["late_seconds"]}
    return Turn(figures, loaded["load"])
