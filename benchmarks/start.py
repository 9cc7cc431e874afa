"""How long `herald run` takes from its start to the first message taken."""

import subprocess
import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import START, Section, Target, Turn, in_turns
from benchmarks.listening import end, environment, status
from benchmarks.messages import bodies
from benchmarks.processes import PATIENCE_SECONDS, pin, tied
from benchmarks.producers import HERALD
from tests.free_ports import free_ports

_RUN = "Herald, `herald run` to its first 202"
_POLL_SECONDS = 0.01
_ACCEPTED = 202


def start(bench: Bench) -> list[Section]:
    """In an empty folder each time: SQLite, both consumers, the local inbox."""

    def take(number: int) -> Turn:
        folder = bench.folder / f"start-{number}"
        folder.mkdir()
        return Turn({START: _seconds_to_first_202(folder)})

    pin(bench.cores.measured | bench.cores.others)  # as its user runs it: the processes start side by side
    turns = in_turns({_RUN: take}, bench.rounds, bench.note)
    pin(bench.cores.others)
    return [Section("start", turns, [Target(_RUN, START, must=3.0, aim=1.5)])]


def _seconds_to_first_202(folder: Path) -> float:
    api, smtp, sms, page = map(str, free_ports(4))
    given = {
        "HERALD_API__PORT": api,
        "HERALD_SMTP__PORT": smtp,
        "HERALD_SMS__URL": f"http://127.0.0.1:{sms}",
        "HERALD_INBOX__SMTP_PORT": smtp,
        "HERALD_INBOX__SMS_PORT": sms,
        "HERALD_INBOX__HTTP_PORT": page,
    }
    with (folder / "output.log").open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            tied([HERALD, "run"]),
            cwd=folder,
            env=environment(given),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_first_202(process, int(api), folder / "output.log")
        return time.perf_counter() - began
    finally:
        end(process)


def _await_first_202(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    body, deadline = next(bodies()), time.monotonic() + PATIENCE_SECONDS
    while status(port, "/api/v1/produce", body) != _ACCEPTED:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"herald run took no message; it says:\n{output.read_text()}")
        time.sleep(_POLL_SECONDS)
