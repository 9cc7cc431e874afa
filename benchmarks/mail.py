"""Mail end to end: Kafka, engine, template, SMTP, ledger and commit, beside a loop that only sends."""

from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.channels import Sink, herald_consumer, sink_for, take_in
from benchmarks.figures import CPU, RATE, Section, Take, Target, Turn, in_turns
from benchmarks.processes import module, pin
from entrypoints.settings_model import Settings

_COUNT, _EDGE = 8_000, 1_000
_DEFAULT = Settings().smtp.connections
_OTHERS = (8, 32)
_FEW_ROUNDS = 2  # of the other numbers of connections


def mail(bench: Bench) -> list[Section]:
    """Over as many connections as the settings say, and over fewer and more."""
    pin(bench.cores.others)
    sink = sink_for("smtp") if bench.kafka else None
    if sink is None:
        return []
    with sink:
        usual = _section(bench, sink, "mail, end to end", (_DEFAULT,), bench.rounds)
        others = _section(
            bench, sink, "mail, over fewer and more connections", _OTHERS, min(bench.rounds, _FEW_ROUNDS)
        )
    return [usual, others]


def _section(bench: Bench, sink: Sink, name: str, connections: Sequence[int], rounds: int) -> Section:
    takes: dict[str, Take] = {}
    targets = []
    for number in connections:
        herald, floor = f"Herald, {number} connections", f"floor: bare aiosmtplib, {number} connections"
        takes |= {floor: _take_floor(bench, sink, number), herald: _take_herald(bench, sink, number)}
        targets += [
            Target(herald, RATE, must=0.65, aim=0.8, beside=floor),
            Target(herald, CPU, beside=floor),
        ]
    return Section(name, in_turns(takes, rounds, bench.note), targets)


def _take_floor(bench: Bench, sink: Sink, connections: int) -> Take:
    def take(_round: int) -> Turn:
        command = module("bare_mail", str(sink.port), str(connections), str(_COUNT))
        return take_in(bench, sink, command, _COUNT, _EDGE)

    return take


def _take_herald(bench: Bench, sink: Sink, connections: int) -> Take:
    def take(number: int) -> Turn:
        # A topic of its own each time: the group remembers what it has delivered.
        topic, smtp = f"mail-{connections}-{number}", {"port": sink.port, "connections": connections}
        command = herald_consumer(bench, "email", topic, _COUNT, smtp)
        return take_in(bench, sink, command, _COUNT, _EDGE)

    return take
