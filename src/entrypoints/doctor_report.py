"""What `herald doctor` found, for people: on a terminal in colours, in a pipe a line each."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from domain.diagnosis import Finding, FindingState
from entrypoints.screen import printable

_STYLES = {
    FindingState.OK: "green",
    FindingState.WARNING: "yellow",
    FindingState.WRONG: "bold red",
    FindingState.UNKNOWN: "magenta",
}
_ARROW = "->"


def show_findings(
    findings: Sequence[Finding], *, stream: TextIO | None = None, width: int | None = None
) -> None:
    """On `stream` (stdout). `width`: the terminal's; None: it is asked."""
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        _show_on_terminal(findings, stream, width)
    else:
        stream.write("".join(f"{line}\n" for line in _lines(findings)))
    stream.flush()


def summary(findings: Sequence[Finding]) -> str:
    """How many there are of each state."""
    counts = Counter(finding.state for finding in findings)
    if set(counts) == {FindingState.OK}:
        return f"All is well: {len(findings)} ok."
    worst_first = (FindingState.WRONG, FindingState.UNKNOWN, FindingState.WARNING, FindingState.OK)
    return ", ".join(f"{counts[state]} {state}" for state in worst_first if counts[state]) + "."


def _lines(findings: Sequence[Finding]) -> list[str]:
    states = max(len(finding.state) for finding in findings)
    names = max(len(finding.name) for finding in findings)
    return [
        f"{one.state:{states}}  {one.name:{names}}  {printable(one.says)}{_to_do(one, ' ')}"
        for one in findings
    ]


def _to_do(finding: Finding, before: str) -> str:
    return f"{before}{_ARROW} {printable(finding.remedy)}" if finding.remedy else ""


def _show_on_terminal(findings: Sequence[Finding], stream: TextIO, width: int | None) -> None:
    # Imported here, for a pipe needs no colours.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        # As Text, for a server's words may hold what rich takes for markup.
        says = Text(printable(one.says)).append(_to_do(one, "\n"), style="bold")
        table.add_row(Text(one.state, style=_STYLES[one.state]), Text(one.name), says)
    Console(file=stream, highlight=False, width=width).print(table)
