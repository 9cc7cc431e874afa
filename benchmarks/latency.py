"""How long a message takes at 1,000 requests a second, sent when they are due whoever still waits."""

from benchmarks.bench import Bench
from benchmarks.figures import P50, P99, Measure, Section, Take, Target, Turn, in_turns
from benchmarks.processes import run_module
from benchmarks.producers import FASTAPI, GIN, KAFKA, Running, Start, fastapi, gin, herald_on_kafka, serving

_RATE = 1_000
_SECONDS = 3.0  # at least: below it a percentile of 99 is a matter of thirty requests
_MOST = Measure("max", "ms", digits=2)
_LATE = Measure("p99 of the generator's own delay", "ms", digits=2)
# Herald waits for company only in a crowd; what its peers win by never waiting is shown too.
_FASTAPI_AT_ONCE = f"{FASTAPI}, no linger"
_GIN_AT_ONCE = f"{GIN}, no linger"
_TARGETS = (
    Target(KAFKA, P99, must=1 / 3, beside=FASTAPI),
    Target(KAFKA, P99, aim=1.0, beside=GIN),
    Target(KAFKA, P99, beside=_FASTAPI_AT_ONCE),
    Target(KAFKA, P99, beside=_GIN_AT_ONCE),
)


def latency(bench: Bench) -> list[Section]:
    """From the time a request is due to its 202."""
    if not bench.kafka:
        return []
    starts: dict[str, Start] = {
        KAFKA: lambda: herald_on_kafka(bench, "latency"),
        FASTAPI: lambda: fastapi(bench),
        GIN: lambda: gin(bench),
        _FASTAPI_AT_ONCE: lambda: fastapi(bench, linger_ms=0),
        _GIN_AT_ONCE: lambda: gin(bench, linger_ms=0.001),  # 0 would be kafka-go's default, a second
    }
    with serving(bench, starts) as servers:
        takes = {name: _open_loop(server, bench) for name, server in servers.items()}
        for take in takes.values():
            take(0)
        turns = in_turns(takes, bench.rounds, bench.note)
        return [Section("latency at 1,000 requests/s", turns, _TARGETS, floor=FASTAPI)]


def _open_loop(server: Running, bench: Bench) -> Take:
    def take(number: int) -> Turn:
        seconds = max(bench.seconds, _SECONDS) if number else 1.0
        done = run_module("open_loop", str(server.port), str(_RATE), str(seconds))
        figures = {P50: done["p50"], P99: done["p99"], _MOST: done["max"], _LATE: done["late"]}
        return Turn(figures, done["load"])

    return take
