"""What the sections about mail and texts share: sinks that count, and Herald's consumer as users run it."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.builds import go_peer
from benchmarks.deliveries import fill_topic, site_of
from benchmarks.figures import Turn
from benchmarks.processes import PATIENCE_SECONDS, Server, cpu_seconds, pin, tied
from benchmarks.site import PARTITIONS

_HERALD = str(Path(sys.executable).parent / "herald")


class Sink(Server):
    """A mail server or SMS provider that takes everything at once (`peers/sinks`), on the other cores."""

    def expect(self, count: int, edge: int) -> None:
        """Begins a turn of so many messages; the figures are of those between its first and last `edge`."""
        self._say(f"{count} {edge}\n")

    def hear(self, word: str) -> str:
        """What it says next, which must begin with this word: what follows it."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line.startswith(word):
            raise SystemExit(f"not all that was sent arrived: the sink says {line!r} instead of {word}")
        return line.removeprefix(word).strip()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


def sink_for(kind: str) -> Sink | None:
    """`kind`: smtp or http. None where it cannot be built, which was said then."""
    program = go_peer("sinks")
    return None if program is None else Sink([str(program), kind])


def take_in(bench: Bench, sink: Sink, command: Sequence[str], count: int, edge: int) -> Turn:
    """A program that sends so many messages to the sink, on the measured core, ended once they are there.

    The turn's `load` is how busy the sink was. Raises `SystemExit` when a message is missing or came twice.
    """
    sink.expect(count, edge)
    said = bench.folder / "sender.log"
    pin(bench.cores.measured)
    with said.open("wb") as output:
        process = subprocess.Popen(tied(command), stdout=output, stderr=output)
    pin(bench.cores.others)
    try:
        sink.hear("edge")
        before = (cpu_seconds(process.pid) or 0.0, sink.cpu or 0.0)
        seconds = float(sink.hear("edge"))
        after = (cpu_seconds(process.pid) or 0.0, sink.cpu or 0.0)
        different = int(sink.hear("done"))
    finally:
        process.terminate()
        code = process.wait(timeout=PATIENCE_SECONDS)
        if code not in {0, -signal.SIGTERM}:
            sys.stderr.write(said.read_text())
    if different != count:
        raise SystemExit(f"of {count} messages that {command[0]} sent {different} were different ones")
    sent, load = count - 2 * edge, (after[1] - before[1]) / seconds
    return Turn.counted(sent, seconds, after[0] - before[0], load)


def herald_consumer(
    bench: Bench, group: str, topic: str, count: int, channel: Mapping[str, str | int]
) -> list[str]:
    """The command of `herald consumer`, all settings but `channel`'s the defaults; its topic is filled."""
    site = site_of(bench, "kafka", topic)
    fill_topic(site, count)
    path = bench.folder / f"{topic}.toml"
    section = "smtp" if group == "email" else "sms"
    path.write_text(
        '[broker]\nbackend = "kafka"\n'
        f"[kafka]\nbootstrap_servers = {json.dumps(bench.kafka)}\ngroup_prefix = {json.dumps(topic + '-')}\n"
        f"[logging]\nfile = {json.dumps(str(bench.folder / (topic + '-{process}.log')))}\n"
        f"[[topics]]\nname = {json.dumps(topic)}\npartitions = {PARTITIONS}\ngroups = [{json.dumps(group)}]\n"
        f"[{section}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in channel.items())
    )
    return [_HERALD, "consumer", group, "--config", str(path)]
