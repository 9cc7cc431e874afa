"""What a request costs when two workers share the port."""

from benchmarks.bench import Bench
from benchmarks.figures import CPU, Section, Target, in_turns
from benchmarks.produce import requests
from benchmarks.producers import Start, herald_on_kafka, serving
from benchmarks.programs import ensure

_ONE = "Herald on Kafka, one worker"
_TWO = "Herald on Kafka, workers = 2"
_TARGETS = (Target(_TWO, CPU, must=1.1, beside=_ONE),)


def workers(bench: Bench) -> list[Section]:
    """CPU of all processes of `herald api` together, on one core."""
    if not bench.kafka or not ensure("wrk"):
        return []
    starts: dict[str, Start] = {
        _ONE: lambda: herald_on_kafka(bench, "one-worker", children=True),
        _TWO: lambda: herald_on_kafka(bench, "two-workers", workers=2, children=True),
    }
    with serving(bench, starts) as servers:
        takes = {name: requests(server, bench) for name, server in servers.items()}
        for take in takes.values():
            take(0)
        return [Section("workers", in_turns(takes, bench.rounds, bench.note), _TARGETS)]
