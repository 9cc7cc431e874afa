"""What a request costs when two workers share the port, and with the process that keeps the status view."""

from benchmarks.bench import Bench
from benchmarks.figures import CPU, Section, Target, in_turns
from benchmarks.messages import TOPIC
from benchmarks.produce import requests
from benchmarks.producers import Start, herald_on_kafka, serving
from benchmarks.programs import ensure

_ONE = "Herald on Kafka, one worker"
_TWO = "Herald on Kafka, workers = 2"
_VIEW = "Herald on Kafka, one worker and the status view"
_VIEWED = "viewed"  # a topic of its own, or the view would read what the others were sent too
_TARGETS = (Target(_TWO, CPU, must=1.1, beside=_ONE), Target(_VIEW, CPU, beside=_ONE))
_LEAD_SECONDS = 1.0


def workers(bench: Bench) -> list[Section]:
    """CPU of all processes of `herald api` together, on one core."""
    if not bench.kafka or not ensure("wrk"):
        return []
    starts: dict[str, Start] = {
        _ONE: lambda: herald_on_kafka(bench, "one-worker", children=True),
        _TWO: lambda: herald_on_kafka(bench, "two-workers", workers=2, children=True),
        _VIEW: lambda: herald_on_kafka(bench, "view", status_hours=24, topic=_VIEWED, children=True),
    }
    with serving(bench, starts) as servers:
        takes = {
            name: requests(
                server, bench, topic=_VIEWED if name == _VIEW else TOPIC, lead_seconds=_LEAD_SECONDS
            )
            for name, server in servers.items()
        }
        for take in takes.values():
            take(0)
        return [Section("workers", in_turns(takes, bench.rounds, bench.note), _TARGETS)]
