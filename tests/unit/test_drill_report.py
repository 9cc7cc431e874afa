import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from entrypoints.drill_conductor import Done
from entrypoints.drill_plan import Act, Outage
from entrypoints.drill_report import WIDTH, Result, as_json, show, verdict
from entrypoints.drill_scoreboard import Excuse, Scoreboard, Tally
from entrypoints.drill_screen import DrillScreen

FINE = Tally(
    produced=1_234_567,
    delivered=1_234_567,
    lost=0,
    duplicated=7,
    beyond=0,
    out_of_order=0,
    longest_delay=612.34,
    drained_in=1.25,
)
KILL = Done(
    Outage(Act.KILL, "email", 2.5),
    began=600.0,
    over=602.5,
    waiting=12_345,
    back_in=31.5,
    excuse=Excuse(since=600.0, until=602.5, most=128),
)
STUCK = Done(Outage(Act.BROKER, "", 5.0), began=610.0, over=615.0, waiting=3)
RESULT = Result(
    log="SQLite in a temporary folder",
    seed=7,
    seconds=61.0,
    refused=3,
    tallies={"email": FINE, "sms": FINE},
    outages=[KILL, STUCK],
    repeats=[7, None],
    notes=["consumer-sms ended by itself (1); started again"],
)


def printed(result: Result) -> str:
    stream = io.StringIO()
    show(result, Console(file=stream, width=WIDTH, highlight=False))
    return stream.getvalue()


def row(text: str, first: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.strip().startswith(first))


def test_the_table_has_each_channel_s_figures() -> None:
    figures = ["1,234,567", "1,234,567", "0", "7", "0", "612.3", "s", "1.2"]

    assert row(printed(RESULT), "email  ") == ["email", *figures]


def test_the_table_has_each_outage_and_how_long_the_way_back_took() -> None:
    text = printed(RESULT)

    killed = ["email", "consumer", "SIGKILL", "600", "s", "2.5", "s", "12,345", "31.5", "s", "7", "of", "128"]
    assert row(text, "email consumer") == killed
    assert row(text, "broker") == ["broker", "stopped", "610", "s", "5.0", "s", "3", "never"]


def test_no_line_is_wider_than_eighty_columns() -> None:
    assert [line for line in printed(RESULT).splitlines() if len(line) > WIDTH] == []


def test_without_a_terminal_there_are_no_control_codes() -> None:
    assert "\x1b" not in printed(RESULT)


def test_it_says_what_was_broken_and_where() -> None:
    broken = replace(FINE, lost=2, beyond=3, out_of_order=1)
    result = replace(RESULT, tallies={"email": FINE, "sms": broken})

    assert verdict(result) == (
        "Herald broke its promise: sms: 2 lost, 1 out of order, 3 repeated beyond the bound."
    )
    assert not result.holds


@pytest.mark.parametrize("broken", ["lost", "beyond", "out_of_order"])
def test_each_broken_promise_fails_the_drill(broken: str) -> None:
    tallies = {"email": FINE, "sms": replace(FINE, **{broken: 1})}

    assert (RESULT.holds, replace(RESULT, tallies=tallies).holds) == (True, False)


def test_as_json_it_has_the_same_figures() -> None:
    answer = json.loads(as_json(RESULT))

    assert (answer["holds"], answer["seed"], answer["refused"]) == (True, 7, 3)
    assert answer["channels"]["sms"] == {
        "produced": 1_234_567,
        "delivered": 1_234_567,
        "lost": 0,
        "duplicated": 7,
        "beyond": 0,
        "out_of_order": 0,
        "longest_delay": 612.34,
        "drained_in": 1.25,
        "holds": True,
    }
    assert answer["outages"][0] == {
        "taken_down": "email consumer SIGKILL",
        "at": 600.0,
        "seconds": 2.5,
        "waited": 12_345,
        "back_in_seconds": 31.5,
        "repeated": 7,
        "may_repeat": 128,
    }
    assert answer["notes"] == RESULT.notes


def screen_on(stream: io.StringIO, *, terminal: bool) -> DrillScreen:
    console = Console(file=stream, width=WIDTH, highlight=False, force_terminal=terminal, color_system=None)
    board = Scoreboard(["email"])
    board.promise("a", None, 0.0)
    return DrillScreen(console, "Herald drill on SQLite", board, ["email"], lambda: 12.0)


async def test_without_a_terminal_each_event_is_one_line() -> None:
    stream = io.StringIO()
    async with screen_on(stream, terminal=False) as screen:
        screen.phase("starting")
        screen.outage(Done(KILL.outage, began=1.0))
        screen.outage(KILL)

    assert stream.getvalue().splitlines() == [
        "  12 s  Herald drill on SQLite",
        "  12 s  starting",
        "  12 s  email consumer SIGKILL",
        "  12 s  email consumer SIGKILL: over after 2.5 s, 12,345 waited, back in 31.5 s",
    ]


async def test_on_a_terminal_the_picture_shows_what_waits_and_what_is_down() -> None:
    stream = io.StringIO()
    async with screen_on(stream, terminal=True) as screen:
        screen.outage(Done(KILL.outage, began=1.0))
        screen.refresh()

    assert "0 of 1" in stream.getvalue()
    assert "1 waiting" in stream.getvalue()
    assert "email consumer SIGKILL" in stream.getvalue()
