"""`python -m benchmarks.report`: charts and README's figures from the committed results."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.charts import bars, lines, title
from benchmarks.circumstances import in_a_line
from benchmarks.figures import Section
from benchmarks.results import COMMITTED, Run, names, read
from benchmarks.table import target_cells

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CHARTS = ROOT / "docs" / "charts"
COMPARED = ("produce", "batch", "consume")
"""The results whose CPU is drawn as bars."""
_BLOCK = re.compile(r"(<!-- figures: .* -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def runs(folder: Path = COMMITTED) -> dict[str, Run]:
    found = {name: read(folder, name) for name in names(folder)}
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
    """Every target as a row of a Markdown table, the charts that compare, where and when all was measured."""
    rows = [row for run in of.values() for section in run.sections for row in _rows(section)]
    table = ["| what | measured | must | aim |", "|---|---|---|---|", *rows, ""]
    lines = [*(table if rows else []), *_images(of), *_sources(of)]
    return "".join(f"{line}\n" for line in lines)


def _rows(section: Section) -> Iterator[str]:
    for target in section.targets:
        figure, must, aim = target_cells(section, target)
        if figure and target.what in section.shown:
            yield f"| {section.name}: {target.what} | {figure} | {must} | {aim} |"


def _images(of: Mapping[str, Run]) -> Iterator[str]:
    compared = {name: of[name] for name in COMPARED if name in of}
    titles = {file_name(section): title(section) for run in compared.values() for section in run.sections}
    for file in charts(compared):
        yield from (f"![{titles[file]}](docs/charts/{file})", "")


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
    README.write_text(with_figures(README.read_text(), found))


if __name__ == "__main__":
    main()
