"""A drill's result: two tables for a person, or JSON, and the sentence that says whether it held."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from entrypoints.drill_conductor import Done
from entrypoints.drill_scoreboard import Tally

WIDTH = 80  # without a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`repeats`: for each of `outages` what a kill repeated, else None. `notes`: what else happened.

    `refused`: how often the API did not answer 202 and the message was sent again.
    """

    log: str
    seed: int
    seconds: float
    refused: int
    tallies: Mapping[str, Tally]
    outages: Sequence[Done]
    repeats: Sequence[int | None]
    notes: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        return all(tally.holds for tally in self.tallies.values())


def as_json(result: Result) -> str:
    channels = {name: asdict(tally) | {"holds": tally.holds} for name, tally in result.tallies.items()}
    return json.dumps(
        {
            "holds": result.holds,
            "log": result.log,
            "seed": result.seed,
            "seconds": round(result.seconds, 1),
            "refused": result.refused,
            "channels": {name: _rounded(values) for name, values in channels.items()},
            "outages": [_outage(done, n) for done, n in zip(result.outages, result.repeats, strict=True)],
            "notes": list(result.notes),
        },
        ensure_ascii=False,
    )


def show(result: Result, console: Console) -> None:
    console.print(_page(result))


def verdict(result: Result) -> str:
    """One sentence: what held, or what did not."""
    wrong = [_wrong(name, tally) for name, tally in result.tallies.items() if not tally.holds]
    if wrong:
        return f"Herald broke its promise: {'; '.join(wrong)}."
    return "Nothing lost, nothing out of order, nothing repeated but what a SIGKILL may repeat."


def _page(result: Result) -> RenderableType:
    end = Text(verdict(result), style="bold green" if result.holds else "bold red")
    source = Text(_source(result), style="dim")
    notes = [Text(f"Note: {note}", style="yellow") for note in result.notes]
    return Group(_outages(result), Text(), _channels(result), Text(), *notes, end, source)


def _source(result: Result) -> str:
    requests = "request" if result.refused == 1 else "requests"
    again = (
        f" {result.refused:,} {requests} got no 202, sent again until there was one."
        if result.refused
        else ""
    )
    return (
        f"{result.seconds:.0f} s on {result.log}; seed {result.seed}. Counted from the API's 202s and from "
        f"what the drill's own mail server and SMS provider received.{again}"
    )


def _channels(result: Result) -> Table:
    table = _table("channel", "produced", "delivered", "lost", "dupli-\ncated", "out of\norder")
    for name in ("longest\ndelay", "seconds\nto drain"):
        table.add_column(name, justify="right")
    for name, tally in result.tallies.items():
        table.add_row(
            name,
            f"{tally.produced:,}",
            f"{tally.delivered:,}",
            _count(tally.lost, is_bad=tally.lost > 0),
            _count(tally.duplicated, is_bad=tally.beyond > 0),
            _count(tally.out_of_order, is_bad=tally.out_of_order > 0),
            f"{tally.longest_delay:.1f} s",
            f"{tally.drained_in:.1f}",
        )
    return table


def _outages(result: Result) -> Table:
    table = _table("taken down", "at", "for", "waited", "back in", "repeated")
    for done, repeats in zip(result.outages, result.repeats, strict=True):
        table.add_row(done.outage.title, *outage_cells(done), _repeated(done, repeats))
    return table


def outage_cells(done: Done) -> tuple[str, str, str, str]:
    """When it began, how long it lasted, what waited at its end, how long the way back took."""
    if done.over is None:
        return f"{done.began:.0f} s", "", "", ""
    back = "never" if done.back_in is None else f"{done.back_in:.1f} s"
    return f"{done.began:.0f} s", f"{done.over - done.began:.1f} s", f"{done.waiting:,}", back


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column(first, vertical="bottom")
    for name in others:
        table.add_column(name, justify="right")
    return table


def _count(number: int, *, is_bad: bool) -> Text:
    return Text(f"{number:,}", style="bold red" if is_bad else "")


def _repeated(done: Done, repeats: int | None) -> Text:
    if repeats is None or done.excuse is None:
        return Text("")
    return _count(repeats, is_bad=repeats > done.excuse.most) + Text(f" of {done.excuse.most}")


def _wrong(name: str, tally: Tally) -> str:
    counts = {
        "lost": tally.lost,
        "out of order": tally.out_of_order,
        "repeated beyond the bound": tally.beyond,
    }
    return f"{name}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _outage(done: Done, repeats: int | None) -> dict[str, object]:
    return _rounded(
        {
            "taken_down": done.outage.title,
            "at": done.began,
            "seconds": None if done.over is None else done.over - done.began,
            "waited": done.waiting,
            "back_in_seconds": done.back_in,
            "repeated": repeats,
            "may_repeat": done.excuse.most if done.excuse else None,
        }
    )


def _rounded(values: Mapping[str, object]) -> dict[str, object]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in values.items()}
