"""Charts of saved results: bars that compare, and lines that show how a cost grows."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, log10

from benchmarks.circumstances import in_a_line
from benchmarks.drawing import MARGIN, TOP, WIDTH, bar, line, page, text
from benchmarks.figures import CPU, Growth, Measure, Section
from benchmarks.results import Run

_ROW = 26
_LETTER = 7.2  # of a label, about
_FIGURE_ROOM = 70
_PLOT_HEIGHT = 240
_LEFT = 64
_COLOURS = 4
_KINDS = {"Herald": "ours", "floor": "floor"}

Points = Sequence[tuple[float, float]]


def title(section: Section, measure: Measure = CPU) -> str:
    return f"{section.name}: {measure.name}, {measure.unit}".removesuffix(", ")


def bars(section: Section, run: Run, measure: Measure = CPU) -> str:
    """A bar a row: the shorter the better where the measure is a cost. Empty where nothing was measured."""
    medians = [(what, section.median(what, measure)) for what in section.shown]
    figures = [(what, figure) for what, figure in medians if figure is not None]
    if not figures:
        return ""
    left = 2 * MARGIN + _LETTER * max(len(what) for what, _ in figures)
    scale = (WIDTH - MARGIN - left - _FIGURE_ROOM) / max(figure for _, figure in figures)
    shapes = [
        shape
        for number, (what, figure) in enumerate(figures)
        for shape in _bar((left, TOP + number * _ROW), what, figure * scale, f"{figure:,.{measure.digits}f}")
    ]
    height = TOP + len(figures) * _ROW + MARGIN
    return page(title(section, measure), in_a_line(run.circumstances), height, shapes)


def _bar(at: tuple[float, float], what: str, length: float, figure: str) -> Iterator[str]:
    left, top = at
    kinds = (kind for start, kind in _KINDS.items() if what.startswith(start))
    yield text(MARGIN, top + 15, what)
    yield bar(left, top + 3, length, _ROW - 8, next(kinds, "bar"))
    yield text(left + length + 6, top + 15, figure, "quiet")


def lines(section: Section, growth: Growth, run: Run) -> str:
    """A line for each name in `growth`, x on a logarithmic axis, y from zero."""
    series = _series(section, growth)
    if not series:
        return ""
    measure = growth.measure
    axes = _Axes(series)
    legend = [shape for number, name in enumerate(series) for shape in _legend(number, name)]
    drawn = [
        line([axes.place(x, y) for x, y in points], f"line c{number % _COLOURS}")
        for number, points in enumerate(series.values())
    ]
    height = axes.bottom + 44
    shapes = [*axes.drawn(growth.axis), *drawn, *legend]
    return page(title(section, measure), in_a_line(run.circumstances), height, shapes)


def _series(section: Section, growth: Growth) -> dict[str, list[tuple[float, float]]]:
    series: dict[str, list[tuple[float, float]]] = {}
    for what, (name, x) in growth.at.items():
        figure = section.median(what, growth.measure)
        if figure is not None and what in section.shown:
            series.setdefault(name, []).append((x, figure))
    return {name: sorted(points) for name, points in series.items()}


def _legend(number: int, name: str) -> Iterator[str]:
    y = TOP + 12 + number * 20
    yield line([(MARGIN, y - 4), (MARGIN + 32, y - 4)], f"line c{number % _COLOURS}")
    yield text(MARGIN + 40, y, name)


class _Axes:
    """Where a point is drawn, and the lines and numbers around it."""

    def __init__(self, series: Mapping[str, Points]) -> None:
        points = [point for line in series.values() for point in line]
        self._ticks = sorted({x for x, _ in points})
        self._step = _round_step(max(y for _, y in points) / 4)
        self._most = self._step * max(1, ceil(max(y for _, y in points) / self._step))
        self._top = TOP + 12 + 20 * len(series)
        self.bottom = self._top + _PLOT_HEIGHT

    def place(self, x: float, y: float) -> tuple[float, float]:
        least, most = log10(self._ticks[0]), log10(self._ticks[-1])
        share = (log10(x) - least) / (most - least) if most > least else 0.5
        return _LEFT + share * (WIDTH - _LEFT - 3 * MARGIN), self.bottom - y / self._most * _PLOT_HEIGHT

    def drawn(self, axis: str) -> Iterator[str]:
        for number in range(round(self._most / self._step) + 1):
            _, y = self.place(self._ticks[0], number * self._step)
            yield line([(_LEFT, y), (WIDTH - 3 * MARGIN, y)], "grid")
            yield text(_LEFT - 8, y + 4, f"{number * self._step:,g}", "quiet", "end")
        for tick in self._ticks:
            x, y = self.place(tick, 0)
            yield text(x, y + 18, f"{tick:,g}", "quiet", "middle")
        yield text(_LEFT, self.bottom + 36, axis, "quiet")


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... that is no less."""
    if least <= 0:
        return 1.0
    power = 10.0 ** floor(log10(least))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= least * 0.999)
