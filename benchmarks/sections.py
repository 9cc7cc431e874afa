"""What is measured, by the name that `make bench-NAME` knows. Each is a module of its own."""

from collections.abc import Callable, Mapping

from benchmarks.batch import batch
from benchmarks.bench import Bench
from benchmarks.consume import consume
from benchmarks.figures import Section
from benchmarks.latency import latency
from benchmarks.produce import produce
from benchmarks.start import start
from benchmarks.workers import workers

SECTIONS: Mapping[str, Callable[[Bench], list[Section]]] = {
    "produce": produce,
    "batch": batch,
    "latency": latency,
    "workers": workers,
    "start": start,
    "consume": consume,
}
