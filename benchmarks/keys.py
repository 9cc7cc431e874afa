"""What a hot key does to the others: many keys under a steady open load, and the same with a hot key.

An age is the time from when a message is due in the log, by the load's schedule, to its delivery; so it has
all in it: the append, the fetch, the wait in the lanes, the provider. Nobody waits for anybody: what is
late makes nothing after it late. Asked is only how old the others get, never the hot key.

Behind a provider that answers at once 100,000 keys come by, a message each, well below what one process can
do; then the same keys in twice the time, for of as many messages a second half are the hot key's. The third
row has the hot key's on top of all the others': that is twice the load, and shows what the load does rather
than the key.

Behind a provider of 2 ms each message has a key of its own too. The hot key's lane, one message at a time,
can do some 400 a second. It gets 1,000 for a while, so that it fills and then works off what has piled up,
while the other lanes have room. That it ends is part of the question. A key that gets more than its lane
can do for ever fills its shard's share of what a process may hold (`HoldingLimits`), and then its partition
is read no faster than the key is delivered: memory is bounded, so somebody has to wait, and it is those who
share the partition.
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
_WARM_UP_SECONDS = 2.0
_SLOW_SECONDS = 0.002
_AT_ONCE = "Herald, 100,000 keys, 6,000/s"
_HOT_AT_ONCE = "Herald, 100,000 keys, 3,000/s, and 3,000/s of a hot key"
_TWICE_AT_ONCE = "Herald, 100,000 keys, 6,000/s, and 6,000/s of a hot key"
_SLOW = "Herald, 1,000/s"
_HOT_SLOW = "Herald, 1,000/s, and 1,000/s of a hot key for 2.5 s"
_FEW = 5  # rounds that are one here, for a turn takes as long as its load


def keys(bench: Bench) -> list[Section]:
    """On Kafka alone: what is asked is how the engine shares, and that is the same on every log."""
    if not bench.kafka:
        return []
    at_once = {
        _AT_ONCE: _take(bench, 0.0, rate=6_000, seconds=17),
        _HOT_AT_ONCE: _take(bench, 0.0, rate=3_000, seconds=34, hot_rate=3_000),
        _TWICE_AT_ONCE: _take(bench, 0.0, rate=6_000, seconds=17, hot_rate=6_000),
    }
    slow = {
        _SLOW: _take(bench, _SLOW_SECONDS, rate=1_000, seconds=9),
        _HOT_SLOW: _take(bench, _SLOW_SECONDS, rate=1_000, seconds=9, hot_rate=1_000, hot_seconds=2.5),
    }
    rounds = max(1, bench.rounds // _FEW)
    of_at_once = [
        Target(_HOT_AT_ONCE, P99_OTHERS, must=2.0, beside=_AT_ONCE),
        Target(_TWICE_AT_ONCE, P99_OTHERS, beside=_AT_ONCE),
    ]
    of_slow = [Target(_HOT_SLOW, P99_OTHERS, must=2.0, beside=_SLOW)]
    return [
        Section("hot key, provider at once", in_turns(at_once, rounds, bench.note), of_at_once),
        Section("hot key, provider of 2 ms", in_turns(slow, rounds, bench.note), of_slow),
    ]


def _take(bench: Bench, answer_seconds: float, *, rate: float, seconds: float, **hot: float) -> Take:
    def take(number: int) -> Turn:
        site = site_of(bench, "kafka", f"keys-{rate}-{sum(hot.values())}-{number}")
        load = Load(site=site, rate=rate, seconds=seconds, keys=_KEYS, hot_from=_WARM_UP_SECONDS, **hot)
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
