"""What a run brings: turns, their measures, what is compared with what, and which ratio is wanted."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple, Self


class Measure(NamedTuple):
    """One kind of figure. `more`: the larger the better. `exact`: counted, and so alike on other machines."""

    name: str
    unit: str
    digits: int = 0
    more: bool = False
    exact: bool = False


RATE = Measure("rate", "/s", more=True)
CPU = Measure("CPU", "us/message", digits=1)
P50 = Measure("p50", "ms", digits=2)
P99 = Measure("p99", "ms", digits=2)
PEAK = Measure("peak memory", "MB")
START = Measure("start", "s", digits=2)
SHARE = Measure("share", "", digits=2, more=True)


class Turn(NamedTuple):
    """One measurement: a figure of each measure. `load`: how busy the load generator was, 0 to 1."""

    figures: Mapping[Measure, float]
    load: float = 0.0

    @classmethod
    def counted(cls, messages: float, seconds: float, cpu: float | None = None, load: float = 0.0) -> Self:
        """`cpu`: seconds of the measured process, None where the system does not tell."""
        rate = {RATE: messages / seconds}
        return cls(rate if cpu is None else {**rate, CPU: cpu / messages * 1e6}, load)

    def beside(self, more: Mapping[Measure, float]) -> Self:
        """The same turn with further figures, such as its latencies."""
        return self._replace(figures={**self.figures, **more})


class Target(NamedTuple):
    """What the row `what` has to reach: a ratio to the row `beside`, or the figure itself if that is empty.

    `must` and `aim` are the most that a measure may be, or the least of one whose `more` is better. Without
    both the ratio is shown alone.
    """

    what: str
    measure: Measure
    must: float | None = None
    aim: float | None = None
    beside: str = ""


class Growth(NamedTuple):
    """Rows that are points of lines: `at` says for a row its line and where on the axis it stands."""

    axis: str
    at: Mapping[str, tuple[str, float]]
    measure: Measure = CPU


class Section(NamedTuple):
    """Several things measured beside each other, each in as many turns as there were rounds.

    `floor`: what the table's ratios compare with; the first one if empty, nothing if None.
    """

    name: str
    turns: Mapping[str, Sequence[Turn]]
    targets: Sequence[Target] = ()
    floor: str | None = ""
    growth: Growth | None = None

    @property
    def load(self) -> float:
        """How busy the load generator was in its busiest turn."""
        return max((turn.load for turns in self.turns.values() for turn in turns), default=0.0)

    @property
    def shown(self) -> list[str]:
        """The rows whose peers all have figures of this run."""
        lacking = {target.what for target in self.targets if target.beside and not self._has(target.beside)}
        return [what for what in self.turns if self._has(what) and what not in lacking]

    def _has(self, what: str) -> bool:
        return bool(self.turns.get(what))

    def figures(self, what: str, measure: Measure) -> list[float]:
        """A figure a round; empty where it was not measured."""
        return [turn.figures[measure] for turn in self.turns.get(what, ()) if measure in turn.figures]

    def median(self, what: str, measure: Measure) -> float | None:
        figures = self.figures(what, measure)
        return median(figures) if figures else None

    def ratio(self, what: str, beside: str, measure: Measure) -> float | None:
        """The median of the rounds' ratios: each round is compared with the other one of the same round."""
        pairs = [
            (mine.figures[measure], other.figures[measure])
            for mine, other in zip(self.turns.get(what, ()), self.turns.get(beside, ()), strict=False)
            if measure in mine.figures and other.figures.get(measure)
        ]
        return median(mine / other for mine, other in pairs) if pairs else None

    def to_floor(self, what: str, measure: Measure) -> float | None:
        if self.floor is None:
            return None
        return self.ratio(what, self.floor or next(iter(self.turns)), measure)

    def reached(self, target: Target) -> float | None:
        """The figure or ratio that the target is about."""
        if target.beside:
            return self.ratio(target.what, target.beside, target.measure)
        return self.median(target.what, target.measure)


def verdict(target: Target, reached: float, wanted: float) -> str:
    """In a word, for colours do not reach a file."""
    return "ok" if (reached >= wanted if target.measure.more else reached <= wanted) else "missed"


Take = Callable[[int], Turn]
"""One turn, given the number of its round; round 0 warms up."""


def in_turns(takes: Mapping[str, Take], rounds: int, note: Callable[[str], None]) -> dict[str, list[Turn]]:
    """Every round takes each once and begins with another, so that a busy moment hits all alike."""
    names = list(takes)
    turns: dict[str, list[Turn]] = {name: [] for name in names}
    for number in range(1, rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            note(f"round {number} of {rounds}: {name}")
            turns[name].append(takes[name](number))
    return turns
