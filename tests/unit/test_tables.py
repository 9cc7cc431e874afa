import re
from io import StringIO

from entrypoints.tables import show_table


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
