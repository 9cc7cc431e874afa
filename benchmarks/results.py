"""Results as text: JSON lines of the run, then of each section and its rows, with every round's figures.

A file a section of `make bench`. Those of the last runs lie in `.cache/bench/results`, those that README and
charts show in `benchmarks/results`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Growth, Measure, Section, Target, Turn

COMMITTED = Path(__file__).parent / "results"
LAST = Path(__file__).parents[1] / ".cache" / "bench" / "results"
_DIGITS = 6  # more would only make differences longer


class Run(NamedTuple):
    """What one file holds. `circumstances`: machine, versions, date, commit, rounds."""

    circumstances: Mapping[str, str]
    sections: Sequence[Section]

    def section(self, name: str) -> Section | None:
        return next((section for section in self.sections if section.name == name), None)


def write(folder: Path, name: str, run: Run) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text(to_text(run))


def read(folder: Path, name: str) -> Run | None:
    """None where nothing was kept under this name."""
    file = folder / f"{name}.jsonl"
    return from_text(file.read_text()) if file.exists() else None


def to_text(run: Run) -> str:
    lines = [
        {"run": dict(run.circumstances)},
        *(line for section in run.sections for line in _lines(section)),
    ]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def from_text(text: str) -> Run:
    """Takes what `to_text` made; figures have six digits."""
    first, *lines = [json.loads(line) for line in text.splitlines()]
    starts = [at for at, line in enumerate(lines) if "section" in line]
    parts = zip([*starts], [*starts[1:], len(lines)], strict=True)
    return Run(first["run"], [_section(lines[start], lines[start + 1 : end]) for start, end in parts])


def _lines(section: Section) -> Iterator[dict[str, Any]]:
    measures = dict.fromkeys(m for turns in section.turns.values() for turn in turns for m in turn.figures)
    yield {
        "section": section.name,
        "floor": section.floor,
        "measures": list(measures),
        "targets": [[target.what, target.measure.name, *target[2:]] for target in section.targets],
        "growth": section.growth and [section.growth.axis, section.growth.at, section.growth.measure.name],
    }
    for what, turns in section.turns.items():
        taken = [measure for measure in measures if any(measure in turn.figures for turn in turns)]
        figures = {measure.name: [_rounded(turn.figures.get(measure)) for turn in turns] for measure in taken}
        yield {"what": what, "load": [_rounded(turn.load) for turn in turns], "figures": figures}


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else float(f"{figure:.{_DIGITS}g}")


def _section(head: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Section:
    measures = {name: Measure(name, *rest) for name, *rest in head["measures"]}
    return Section(
        head["section"],
        {row["what"]: list(_turns(row, measures)) for row in rows},
        tuple(
            Target(what, measures[name], *rest) for what, name, *rest in head["targets"] if name in measures
        ),
        head["floor"],
        _growth(head["growth"], measures),
    )


def _turns(row: Mapping[str, Any], measures: Mapping[str, Measure]) -> Iterator[Turn]:
    columns = [[(measures[name], figure) for figure in figures] for name, figures in row["figures"].items()]
    for load, *pairs in zip(row["load"], *columns, strict=True):
        yield Turn({measure: figure for measure, figure in pairs if figure is not None}, load)


def _growth(given: Sequence[Any] | None, measures: Mapping[str, Measure]) -> Growth | None:
    if given is None:
        return None
    axis, at, name = given
    return Growth(axis, {what: (line, x) for what, (line, x) in at.items()}, measures[name])
