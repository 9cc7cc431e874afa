"""A million messages wait: what a consumer's memory grows to, and whether it gets slower.

The provider answers at once, so nothing but Herald says how fast it goes. The million takes about a minute,
so there is one turn, whatever the rounds, and on one log: Kafka, or SQLite where Kafka is left out.
"""

from benchmarks.bench import Bench
from benchmarks.consumer import Job
from benchmarks.deliveries import between, fill_topic, run_consumer, site_of
from benchmarks.figures import PEAK, RATE, Measure, Section, Target

LAST_TO_FIRST = Measure("last 100,000 : first 100,000", "", digits=2, more=True)
_MESSAGES = 1_000_000
_STRETCH = 100_000
_EDGE = 1_000
_PATIENCE_SECONDS = 300


def backlog(bench: Bench) -> list[Section]:
    herald, log = ("Herald on Kafka", "kafka") if bench.kafka else ("Herald on SQLite", "sqlite")
    bench.note("a million messages: writing them")
    site = site_of(bench, log, "backlog")
    fill_topic(site, _MESSAGES)
    bench.note("a million messages: delivering them")
    end = _MESSAGES - _EDGE
    job = Job(site=site, count=_MESSAGES, marks=(_EDGE, _EDGE + _STRETCH, end - _STRETCH, end))
    result = run_consumer(bench, job, _PATIENCE_SECONDS)
    first, after_first, before_last, last = result["marks"]
    ratio = between(before_last, last).figures[RATE] / between(first, after_first).figures[RATE]
    turn = between(first, last).beside({PEAK: result["peak_mb"], LAST_TO_FIRST: ratio})
    targets = [Target(herald, PEAK, must=250, aim=150), Target(herald, LAST_TO_FIRST, must=0.9, aim=1.0)]
    return [Section("a million waiting", {herald: [turn]}, targets)]
