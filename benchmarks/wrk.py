"""wrk as the load generator: each of its connections sends the next message once the last is answered.

Only 202s count; any other answer, and any connection that breaks, ends the run.
"""

import math
import resource
import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.programs import program

_SCRIPT = Path(__file__).with_name("produce.lua")
_PATIENCE_SECONDS = 30
_FIELDS = 5


class Load(NamedTuple):
    """`seconds`: from the first request on. `busy`: how busy the load generator itself was, 0 to 1."""

    messages: int
    seconds: float
    busy: float


def load(port: int, bodies: Path, connections: int, seconds: float) -> Load:
    """`bodies`: a file with a JSON object a line. wrk counts in whole seconds, so `seconds` is rounded up."""
    command = [program("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s"]
    before = _cpu_of_children()
    done = subprocess.run(
        [*command, str(_SCRIPT), f"http://127.0.0.1:{port}", "--", str(bodies)],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds + _PATIENCE_SECONDS,
    )
    return read_totals(done.stdout, done.stderr, _cpu_of_children() - before)


def read_totals(printed: str, complaint: str, cpu: float) -> Load:
    """From the line that `produce.lua` prints. Raises `SystemExit` when not all answers were 202."""
    totals = next((line.split()[1:] for line in printed.splitlines() if line.startswith("totals ")), [])
    if len(totals) != _FIELDS:
        raise SystemExit(f"wrk failed: {complaint.strip() or printed.strip()}")
    accepted, others, status, broken, microseconds = map(int, totals)
    if others:
        raise SystemExit(f"{others} of {accepted + others} requests were not answered 202; one got {status}")
    if broken or not accepted:
        raise SystemExit(f"{accepted} requests were answered and {broken} connections broke")
    seconds = microseconds / 1e6
    return Load(accepted, seconds, cpu / seconds)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
