"""The one table of a run: a line for each figure, and one for each further target."""

from collections.abc import Iterator
from itertools import zip_longest

from benchmarks.figures import CPU, RATE, Measure, Section, Target, verdict

COLUMNS = (
    "section",
    "what",
    "median",
    "spread",
    "CPU us/message",
    "spread",
    "CPU : floor",
    "median : floor",
    "targets",
)
_EMPTY = ("", "", "")


def rows(section: Section, committed: Section | None = None) -> list[list[str]]:
    """`committed`: the same section as it stands in the repository; counted figures say how they changed."""
    return [row for what in section.shown for row in _lines(section, what, committed)]


def not_shown(section: Section) -> list[str]:
    """Rows that are left out for want of a peer, with the peer's name."""
    return [
        f"{section.name}, {target.what}: no {target.beside}"
        for target in section.targets
        if section.turns.get(target.what) and target.beside and not section.turns.get(target.beside)
    ]


def target_text(section: Section, target: Target) -> str:
    """As in `CPU 0.24 x Go; at most 0.28: ok; aim 0.2: missed`; empty where nothing was measured."""
    figure, must, aim = target_cells(section, target)
    return "; ".join(filter(None, [figure, must, aim and f"aim {aim}"]))


def target_cells(section: Section, target: Target) -> tuple[str, str, str]:
    """The figure, what it must reach and what it aims at, each with a word whether it does."""
    reached = section.reached(target)
    if reached is None:
        return ("", "", "")
    measure = target.measure
    figure = f"{reached:.2f} x {target.beside}" if target.beside else in_unit(reached, measure)
    bound = "at least" if measure.more else "at most"
    must, aim = (
        "" if wanted is None else f"{bound} {wanted:.3g}: {verdict(target, reached, wanted)}"
        for wanted in (target.must, target.aim)
    )
    return (f"{measure.name} {figure}", must, aim)


def in_unit(figure: float, measure: Measure) -> str:
    return f"{figure:,.{measure.digits}f} {measure.unit}".rstrip()


def _lines(section: Section, what: str, committed: Section | None) -> Iterator[list[str]]:
    measures = list(dict.fromkeys(measure for turn in section.turns[what] for measure in turn.figures))
    figures = [_figure(section, what, measure) for measure in measures if measure != CPU]
    texts = [target_text(section, target) for target in section.targets if target.what == what]
    texts += [_change(section, committed, what, measure) for measure in measures if measure.exact]
    cpu = [_figure(section, what, CPU)]
    columns = ([section.name], [what], figures, cpu, [text for text in texts if text])
    for name, row, figure, of_cpu, text in zip_longest(*columns):
        middle, spread, ratio = figure or _EMPTY
        cpu_middle, cpu_spread, cpu_ratio = of_cpu or _EMPTY
        cells = [middle, spread, cpu_middle, cpu_spread, cpu_ratio, ratio]
        yield [name or "", row or "", *cells, text or ""]


def _figure(section: Section, what: str, measure: Measure) -> tuple[str, str, str]:
    """Median, spread, and the ratio to the floor."""
    figures, middle = section.figures(what, measure), section.median(what, measure)
    if middle is None:
        return ("-", "-", "-")
    digits, name = measure.digits, "" if measure in {RATE, CPU} else f"{measure.name} "
    text = f"{middle:,.{digits}f}" if measure == CPU else name + in_unit(middle, measure)
    ratio = section.to_floor(what, measure)
    spread = f"{min(figures):,.{digits}f} to {max(figures):,.{digits}f}"
    return (text, spread, "-" if ratio is None else f"{ratio:.2f}")


def _change(section: Section, committed: Section | None, what: str, measure: Measure) -> str:
    now, then = section.median(what, measure), committed and committed.median(what, measure)
    return f"{measure.name} {now / then - 1:+.1%} against the committed" if now and then else ""
