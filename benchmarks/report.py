"""`python -m benchmarks.report`: charts, README's figures and the page of all, from the committed results."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.charts import bars, lines, title
from benchmarks.circumstances import in_a_line
from benchmarks.figures import Section, Target
from benchmarks.results import COMMITTED, Run, read
from benchmarks.sections import SECTIONS
from benchmarks.table import COLUMNS, rows, target_cells

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGE = COMMITTED / "README.md"
CHARTS = ROOT / "docs" / "charts"
COMPARED = ("produce", "batch", "consume")
"""The results whose CPU is drawn as bars."""
_IN_README = ("produce", "deliver at once")
"""The sections whose bars are shown there too."""
_ELSEWHERE = ("memory",)
"""The results whose targets are no promise of speed: docs/memory.md has them."""
_BLOCK = re.compile(r"(<!-- figures: .* -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def runs(folder: Path = COMMITTED) -> dict[str, Run]:
    """What was kept, in the order of the table."""
    found = {name: read(folder, name) for name in SECTIONS}
    return {name: run for name, run in found.items() if run is not None}


def charts(of: Mapping[str, Run]) -> dict[str, str]:
    """The SVG of each file's name."""
    drawn = {
        file_name(section): _drawn(name, section, run) for name, run in of.items() for section in run.sections
    }
    return {file: svg for file, svg in drawn.items() if svg}


def _drawn(name: str, section: Section, run: Run) -> str:
    if section.growth:
        return lines(section, section.growth, run)
    return bars(section, run) if name in COMPARED else ""


def file_name(section: Section) -> str:
    return re.sub("[^a-z0-9]+", "-", section.name.lower()).strip("-") + ".svg"


def figures(of: Mapping[str, Run]) -> str:
    """The targets as a Markdown table, the charts that compare most, where and when all was measured."""
    wanted = {name: run for name, run in of.items() if name not in _ELSEWHERE and any(_targets(run))}
    cells = [cell for run in wanted.values() for cell in _targets(run)]
    table = _markdown(("what", "measured", "must", "aim"), cells) if cells else []
    return _text([*table, *_images(wanted), *_sources(wanted)])


def _targets(run: Run) -> Iterator[list[str]]:
    """Those that something is wanted of; a ratio that is only shown stands on the page of all figures."""
    for section in run.sections:
        for target in section.targets:
            cells = target_cells(section, target)
            if _is_wanted(target) and cells[0] and target.what in section.shown:
                yield [f"{section.name}: {target.what}", *cells]


def _is_wanted(target: Target) -> bool:
    return target.must is not None or target.aim is not None


def _images(of: Mapping[str, Run]) -> Iterator[str]:
    for name, run in of.items():
        for section in run.sections:
            if section.name in _IN_README and (file := file_name(section)) in charts({name: run}):
                yield from (f"![{title(section)}](docs/charts/{file})", "")


def page(of: Mapping[str, Run]) -> str:
    """All rows of all results."""
    head = ["# Results", "", "Made by `make bench-charts` from the files beside it, not by hand.", ""]
    return _text([*head, *(line for run in of.values() for line in _on_page(run))])


def _on_page(run: Run) -> Iterator[str]:
    for section in run.sections:
        yield from (f"## {section.name}", "")
        yield from _markdown(COLUMNS[1:], [row[1:] for row in rows(section)])
        rounds = max(map(len, section.turns.values()), default=0)
        yield from (f"Rounds: {rounds}. {in_a_line(run.circumstances)}.", "")


def _markdown(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *cells]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _sources(of: Mapping[str, Run]) -> Iterator[str]:
    taken = dict.fromkeys(in_a_line(run.circumstances) for run in of.values())
    for source in taken:
        parts = [name for name, run in of.items() if in_a_line(run.circumstances) == source]
        yield f"{source} ({', '.join(parts)})." if len(taken) > 1 else f"{source}."


def with_figures(readme: str, of: Mapping[str, Run]) -> str:
    """README with its block of figures written anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}{figures(of)}{block[2]}", readme)


def main() -> None:
    found = runs()
    CHARTS.mkdir(parents=True, exist_ok=True)
    drawn = charts(found)
    for old in CHARTS.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    for file, svg in drawn.items():
        (CHARTS / file).write_text(svg)
    PAGE.write_text(page(found))
    README.write_text(with_figures(README.read_text(), found))


if __name__ == "__main__":
    main()
