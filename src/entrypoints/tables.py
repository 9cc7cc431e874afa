"""Tables for a terminal, and the same in plain text for a pipe."""

import sys
from collections.abc import Sequence
from typing import TextIO


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO | None = None) -> None:
    """Puts the table on `stream` (stdout). In a pipe each row is one line, however long it is."""
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        _show_on_terminal(columns, rows, stream)
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


def _show_on_terminal(columns: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    # Imported here, for a pipe needs no colours.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # As Text, for a value may hold what rich takes for markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(file=stream, highlight=False).print(table)
