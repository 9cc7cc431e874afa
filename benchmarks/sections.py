"""What is measured, by the name that `make bench-NAME` knows. Each is a module of its own."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.backlog import backlog
from benchmarks.batch import batch
from benchmarks.bench import Bench
from benchmarks.consume import consume
from benchmarks.counts import counts
from benchmarks.figures import Section
from benchmarks.growth import GROWTH
from benchmarks.keys import keys
from benchmarks.latency import latency
from benchmarks.mail import mail
from benchmarks.memory import memory
from benchmarks.produce import produce
from benchmarks.sms import sms
from benchmarks.start import start
from benchmarks.two_consumers import processes
from benchmarks.workers import workers

ASKED_FOR = frozenset(GROWTH)
"""Measured only when they are named: they take longer than all others."""
SECTIONS: Mapping[str, Callable[[Bench], list[Section]]] = {
    "produce": produce,
    "batch": batch,
    "latency": latency,
    "workers": workers,
    "start": start,
    "consume": consume,
    "mail": mail,
    "sms": sms,
    "keys": keys,
    "processes": processes,
    "backlog": backlog,
    "counts": counts,
    "memory": memory,
    **GROWTH,
}


def chosen(names: Sequence[str]) -> list[str]:
    """Those of these names; `growth` stands for `growth-batch` and its kind, no name for all but those."""
    if not names:
        return [section for section in SECTIONS if section not in ASKED_FOR]
    return [
        section
        for section in SECTIONS
        if any(section == name or section.startswith(f"{name}-") for name in names)
    ]
