"""Tables for a terminal, and the same in plain text for a pipe."""

import sys
from collections.abc import Collection, Sequence
from typing import TextIO

_GAP = 2
_WORD_KEPT = 20  # a longer word of a column that may be broken is broken before the table is given up


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    whole: Collection[str] = (),
    stream: TextIO | None = None,
    width: int | None = None,
) -> None:
    """Puts the table on `stream` (stdout). In a pipe each row is one line, however long it is.

    `whole`: the columns whose cells people copy. Where a terminal is too narrow to leave these unbroken, each
    row becomes lines of a name and a cell. `width`: the terminal's; None: it is asked.
    """
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        _show_on_terminal(columns, rows, whole, stream, width)
    else:
        stream.write(plain_table(columns, rows))
    stream.flush()


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell, two blanks between them."""
    lines = [columns, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    return "".join(f"{line.rstrip()}\n" for line in padded)


def _show_on_terminal(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    whole: Collection[str],
    stream: TextIO,
    width: int | None,
) -> None:
    # Imported here, for a pipe needs no colours.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    from entrypoints.colours import style_of  # noqa: PLC0415 - see above

    console = Console(file=stream, highlight=False, width=width)
    widths = _fitting(columns, rows, whole, console.width)
    if widths is None:
        stream.write(_records(columns, rows))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, wide in zip(columns, widths, strict=True):
        table.add_column(column, overflow="fold", width=wide)
    for row in rows:
        # As Text, for a value may hold what rich takes for markup.
        cells = zip(columns, row, strict=True)
        table.add_row(*(Text(cell, style=style_of(column, cell)) for column, cell in cells))
    console.print(table)


def _fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], whole: Collection[str], room: int
) -> list[int] | None:
    """The columns' widths: what may be broken gives way, at blanks first. None: that is not enough."""
    from rich.cells import cell_len  # noqa: PLC0415 - see above

    cells = list(zip(columns, *rows, strict=True))
    widths = [max(map(cell_len, column)) for column in cells]
    least = [
        width if name in whole else min(_WORD_KEPT, max(_longest_word(cell) for cell in column))
        for name, width, column in zip(columns, widths, cells, strict=True)
    ]
    while sum(widths) + _GAP * (len(widths) - 1) > room:
        spare, at = max((width - least[at], at) for at, width in enumerate(widths))
        if spare <= 0:
            return None
        widths[at] -= 1
    return widths


def _longest_word(cell: str) -> int:
    from rich.cells import cell_len  # noqa: PLC0415 - see above

    return max(map(cell_len, cell.split()), default=1)


def _records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A row as lines; what is empty is left out."""
    width = max(map(len, columns))
    return "\n".join(
        "".join(f"{name:{width}}  {cell}\n" for name, cell in zip(columns, row, strict=True) if cell)
        for row in rows
    )
