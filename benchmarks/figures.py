"""Turns, their medians and spread, and the table of them."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

COLUMNS = (
    "section",
    "what",
    "messages/s",
    "spread",
    "CPU us/message",
    "spread",
    "CPU : floor",
    "rate : floor",
)


class Turn(NamedTuple):
    """One measurement. `cpu`: seconds of the measured process, None where the system does not tell.

    `load`: how busy the load generator was, 0 to 1.
    """

    messages: int
    seconds: float
    cpu: float | None
    load: float = 0.0

    @property
    def rate(self) -> float:
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float | None:
        return None if self.cpu is None else self.cpu / self.messages * 1e6


class Section(NamedTuple):
    """Several things measured beside each other; the first one is the floor."""

    name: str
    turns: Mapping[str, Sequence[Turn]]

    @property
    def load(self) -> float:
        """How busy the load generator was in its busiest turn."""
        return max(turn.load for turns in self.turns.values() for turn in turns)


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


def rows(section: Section) -> list[list[str]]:
    floor = next(iter(section.turns.values()))
    return [[section.name, name, *_cells(turns, floor)] for name, turns in section.turns.items()]


def _cells(turns: Sequence[Turn], floor: Sequence[Turn]) -> list[str]:
    rates = [turn.rate for turn in turns]
    cpu = [turn.cpu_us for turn in turns if turn.cpu_us is not None]
    return [
        f"{median(rates):,.0f}",
        f"{min(rates):,.0f} to {max(rates):,.0f}",
        f"{median(cpu):.1f}" if cpu else "-",
        f"{min(cpu):.1f} to {max(cpu):.1f}" if cpu else "-",
        _ratio([turn.cpu_us for turn in turns], [turn.cpu_us for turn in floor]),
        _ratio(rates, [turn.rate for turn in floor]),
    ]


def _ratio(figures: Sequence[float | None], floor: Sequence[float | None]) -> str:
    """The median of the rounds' ratios: each round is compared with the floor of the same round."""
    pairs = [(one, low) for one, low in zip(figures, floor, strict=True) if one and low]
    return f"{median(one / low for one, low in pairs):.2f}" if pairs else "-"
