"""What is measured, by the name that `make bench-NAME` knows. Each is a module of its own."""

from collections.abc import Callable, Mapping

from benchmarks.bench import Bench
from benchmarks.consume import consume
from benchmarks.figures import Section
from benchmarks.produce import batch, produce

SECTIONS: Mapping[str, Callable[[Bench], list[Section]]] = {
    "produce": produce,
    "batch": batch,
    "consume": consume,
}
