import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from entrypoints.tables import show_table

ROOT = Path(__file__).parents[2]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """Without colours and the blanks at the end."""
        return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in self.getvalue().splitlines()]


def test_in_a_pipe_columns_are_aligned_and_each_row_is_one_line() -> None:
    out = StringIO()

    show_table(["topic", "partitions"], [["transactions", "6"], ["a", "12"]], stream=out)

    assert out.getvalue() == "topic         partitions\ntransactions  6\na             12\n"


def test_a_table_without_rows_has_its_head() -> None:
    out = StringIO()

    show_table(["topic"], [], stream=out)

    assert out.getvalue() == "topic\n"


def test_on_a_terminal_nothing_is_taken_for_markup_and_nothing_is_cut_off() -> None:
    out = Terminal()

    show_table(["value"], [["[red]x[/red]"], ["y" * 200]], stream=out, width=80)

    assert "[red]x[/red]" in out.getvalue()
    assert out.getvalue().count("y") == 200


def test_on_a_narrow_terminal_a_sentence_is_broken_and_an_id_is_not() -> None:
    out = Terminal()

    show_table(["id", "error"], [["topic-1", "no such user here"]], whole=["id"], stream=out, width=18)

    assert out.lines() == ["id       error", "topic-1  no such", "         user here"]


def test_where_what_is_copied_does_not_fit_a_row_becomes_lines() -> None:
    out = Terminal()
    rows = [["topic.email-1-22", "", "refused"], ["topic.email-1-23", "k", "invalid"]]

    show_table(["id", "key", "reason"], rows, whole=["id"], stream=out, width=20)

    assert out.lines() == [
        "id      topic.email-1-22",
        "reason  refused",
        "",
        "id      topic.email-1-23",
        "key     k",
        "reason  invalid",
    ]


def test_a_table_that_is_as_wide_as_the_terminal_is_a_table() -> None:
    out = Terminal()

    show_table(["id", "n"], [["1234567", "1"]], whole=["id", "n"], stream=out, width=10)

    assert out.lines() == ["id       n", "1234567  1"]


@pytest.mark.parametrize(
    ("column", "cell", "code"),
    [
        ("state", "dead", "1;31"),
        ("health", "unwell", "1;31"),
        ("exists", "no", "1;31"),
        ("state", "retrying", "33"),
        ("lag", "12", "33"),
        ("state", "sent", "32"),
        ("lag", "0", ""),
        ("reason", "dead", ""),
    ],
)
def test_on_a_terminal_trouble_is_red_and_what_to_look_at_is_yellow(
    column: str, cell: str, code: str
) -> None:
    out = Terminal()

    show_table([column], [[cell]], stream=out, width=80)

    row = out.getvalue().splitlines()[1]
    assert (f"\x1b[{code}m{cell}" if code else cell) in row
    assert ("\x1b" in row) == bool(code)


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_who_wants_no_colour_gets_none(variable: str) -> None:
    """Asked in a process of its own, for the environment is the process's."""
    program = (
        "import sys; from tests.unit.test_tables import Terminal; from entrypoints.tables import show_table;"
        "out = Terminal(); show_table(['state'], [['dead']], stream=out); sys.stdout.write(out.getvalue())"
    )
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "TERM": "xterm", variable: "dumb"}

    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environ, check=True
    ).stdout

    assert b"dead" in shown
    assert b"\x1b[31" not in shown
    assert b";31m" not in shown
