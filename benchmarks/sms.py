"""Texts end to end: Kafka, engine, template, HTTP, ledger and commit, beside loops that only send."""

from benchmarks.bench import Bench
from benchmarks.channels import Sink, herald_consumer, sink_for, take_in
from benchmarks.figures import CPU, RATE, Section, Take, Target, Turn, in_turns
from benchmarks.processes import module, pin
from entrypoints.settings_model import Settings

_COUNT, _EDGE = 3_000, 500
_CONNECTIONS = Settings().sms.connections
_FEW = 8
_FEW_ROUNDS = 2


def sms(bench: Bench) -> list[Section]:
    """Over as many connections as the settings say, and over fewer."""
    pin(bench.cores.others)
    sink = sink_for("http") if bench.kafka else None
    if sink is None:
        return []
    with sink:
        usual = _section(bench, sink, "texts, end to end", _CONNECTIONS, bench.rounds)
        few = _section(bench, sink, "texts, over fewer connections", _FEW, min(bench.rounds, _FEW_ROUNDS))
    return [usual, few]


def _section(bench: Bench, sink: Sink, name: str, connections: int, rounds: int) -> Section:
    """Beside httpx as it is meant to be used, one client, and beside what is quickest with it."""
    herald = f"Herald, {connections} connections"
    one = f"floor: bare httpx, one client, {connections} connections"
    each = f"floor: bare httpx, {connections} clients of one connection"
    takes = {
        one: _take_floor(bench, sink, connections, 1),
        each: _take_floor(bench, sink, connections, connections),
        herald: _take_herald(bench, sink, connections),
    }
    targets = [
        Target(herald, measure, must=must, aim=aim, beside=floor)
        for floor in (one, each)
        for measure, must, aim in ((RATE, 0.75, 0.9), (CPU, None, None))
    ]
    return Section(name, in_turns(takes, rounds, bench.note), targets)


def _take_floor(bench: Bench, sink: Sink, connections: int, clients: int) -> Take:
    def take(_round: int) -> Turn:
        command = module("bare_sms", str(sink.port), str(connections), str(_COUNT), str(clients))
        return take_in(bench, sink, command, _COUNT, _EDGE)

    return take


def _take_herald(bench: Bench, sink: Sink, connections: int) -> Take:
    def take(number: int) -> Turn:
        topic = f"sms-{connections}-{number}"
        channel: dict[str, str | int] = {
            "url": f"http://127.0.0.1:{sink.port}",
            "connections": connections,
        }
        command = herald_consumer(bench, "sms", topic, _COUNT, channel)
        return take_in(bench, sink, command, _COUNT, _EDGE)

    return take
