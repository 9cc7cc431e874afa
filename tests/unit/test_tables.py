from io import StringIO

from entrypoints.tables import show_table


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_columns_are_aligned_and_each_row_is_one_line() -> None:
    out = StringIO()

    show_table(["topic", "partitions"], [["transactions", "6"], ["a", "12"]], out)

    assert out.getvalue() == "topic         partitions\ntransactions  6\na             12\n"


def test_a_table_without_rows_has_its_head() -> None:
    out = StringIO()

    show_table(["topic"], [], out)

    assert out.getvalue() == "topic\n"


def test_on_a_terminal_nothing_is_taken_for_markup_and_nothing_is_cut_off() -> None:
    out = Terminal()

    show_table(["value"], [["[red]x[/red]"], ["y" * 200]], out)

    assert "[red]x[/red]" in out.getvalue()
    assert out.getvalue().count("y") == 200
