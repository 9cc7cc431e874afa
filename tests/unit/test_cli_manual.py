"""The help of every command is a page of a manual, and every command in it is right."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from entrypoints.cli import herald, main
from entrypoints.cli_manual import ManualCommand, ManualGroup, wants_no_colour
from entrypoints.cli_options import Invocation
from entrypoints.programs import Programs
from entrypoints.settings_sources import from_assignments, known_fields

ROOT = Path(__file__).parents[2]
HERALD = (sys.executable, "-P", "-m", "entrypoints.cli")


def every_command(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from every_command(inner, (*path, name))


ALL = dict(every_command(herald, ("herald",)))
LEAVES = {path: command for path, command in ALL.items() if not isinstance(command, click.Group)}


def help_of(path: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*path[1:], "--help"], Invocation(Programs(), {}, tmp_path)) == 0
    return capsys.readouterr().out


def by_path(paths: object) -> object:
    return " ".join(paths) if isinstance(paths, tuple) else None


@pytest.mark.parametrize("path", ALL, ids=by_path)
def test_a_help_begins_with_the_name_and_fits_an_old_terminal(
    path: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(path, tmp_path, capsys)

    assert text.startswith(f"{' '.join(path)} - ")
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "\x1b" not in text


@pytest.mark.parametrize("path", LEAVES, ids=by_path)
def test_a_help_has_every_part_of_a_manual(
    path: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(path, tmp_path, capsys)

    parts = ("Usage: ", "Options of every command:\n", "Exit codes:\n  0  ", "Example:\n  ", "See also:\n  ")
    assert [part for part in parts if f"\n{part}" not in text] == []
    assert "\n  1  " in text
    assert "\n  2  wrong usage" in text
    assert len(text.split("\nUsage: ")[1].split("\n\n")[1]) > 40  # what it does


@pytest.mark.parametrize("path", LEAVES, ids=by_path)
def test_the_settings_that_a_help_names_exist(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    assert isinstance(command, ManualCommand)
    known = {
        "[[topics]]",
        "all of them",
        *known_fields(),
        *(f"[{n.partition('.')[0]}]" for n in known_fields()),
    }

    assert set(command.uses) - known == set()


@pytest.mark.parametrize("path", ALL, ids=by_path)
def test_what_a_help_leads_to_is_there(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert isinstance(command, ManualCommand | ManualGroup)

    commands = {tuple(one.split()) for one in command.see if one.startswith("herald ")}
    files = [ROOT / one for one in command.see if not one.startswith("herald ")]
    assert commands - ALL.keys() == set()
    assert [file for file in files if not file.is_file()] == []


def test_every_command_has_a_heading_of_its_own_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Others:" not in help_of(("herald",), tmp_path, capsys)


# The examples ---------------------------------------------------------------------------------


def examples_of(command: click.Command) -> list[str]:
    text = (command.epilog or "").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if "herald " in line]


EXAMPLES = [pytest.param(line, id=line) for command in ALL.values() for line in examples_of(command)]


def words_of(example: str) -> list[str]:
    """Behind `herald`, without what a shell does with it."""
    line = re.sub(r"^(source <\((.*)\)|([A-Z_]+=\S+ )?(.*?)( \| source)?)$", r"\2\4", example)
    program, *words = shlex.split(line)
    assert program == "herald"
    return words


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_right_command_line(example: str) -> None:
    command: click.Command = herald
    rest = words_of(example)
    while isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]

    context = command.make_context("herald", rest)

    assert from_assignments(context.params.get("assignments", ())).mistakes == []


# What an example comes to on a log that is there and empty; the others start programs, or take minutes.
HARMLESS = {
    "config check": 0,
    "config show": 0,
    "completion": 0,
    "dead-letters list": 0,
    "dead-letters replay": 0,
    "dead-letters show": 1,
    "doctor": 1,
    "health": 1,
    "lag": 0,
    "status": 1,
    "topics list": 0,
    "topics apply": 0,
}
RUN = [
    one
    for one in EXAMPLES
    if any(" ".join(words_of(str(one.values[0]))).startswith(name) for name in HARMLESS)
    and "--watch" not in str(one.values[0])
]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], tuple[int, str, str]]:
    """In a folder of its own, where a log is and nobody listens."""
    file = tmp_path / "herald.toml"
    ports = [f"{setting}={port}" for port, setting in enumerate(("api.port", "inbox.http_port"), 11)]
    environ = {
        "HERALD_SQLITE__PATH": str(tmp_path / "data" / "herald.db"),
        "HERALD_LOGGING__FILE": str(tmp_path / "herald-{process}.log"),
        "HERALD_SMTP__PORT": "13",
        "HERALD_SMS__URL": "http://127.0.0.1:14",
        "HERALD_INBOX__SMTP_PORT": "15",
        "HERALD_INBOX__SMS_PORT": "16",
        **{
            f"HERALD_{one.replace('.', '__').upper().partition('=')[0]}": one.partition("=")[2]
            for one in ports
        },
        "HERALD_TOPICS": '[{"name": "transactions"}, {"name": "refunds"}]',
    }
    file.touch()

    def call(words: list[str]) -> tuple[int, str, str]:
        at_hand = [str(file) if word == "/etc/herald.toml" else word for word in words]
        code = main(at_hand, Invocation(Programs(), environ, tmp_path))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    call(["topics", "apply"])
    return call


@pytest.mark.parametrize("example", RUN)
def test_an_example_that_does_no_harm_does_what_it_says(
    example: str, call: Callable[[list[str]], tuple[int, str, str]]
) -> None:
    words = words_of(example)
    [expected] = [code for name, code in HARMLESS.items() if " ".join(words).startswith(name)]

    code, out, err = call(words if words[:2] != ["dead-letters", "replay"] else [*words, "--dry-run"])

    unknown_id = words[:2] == ["dead-letters", "replay"] and "no dead letter" in err
    assert code == (1 if unknown_id else expected)
    assert "Traceback" not in out + err
    assert err.count("\n") <= 1
    assert bool(out) or code == 1
    assert not out or "--json" not in words or json.loads(out)


# Colours --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "plain"),
    [
        ({}, False),
        ({"TERM": "xterm"}, False),
        ({"TERM": "dumb"}, True),
        ({"NO_COLOR": "1"}, True),
        ({"NO_COLOR": ""}, False),
    ],
)
def test_who_wants_no_colour_says_so_in_the_usual_ways(environ: dict[str, str], *, plain: bool) -> None:
    assert wants_no_colour(environ) == plain


@pytest.mark.parametrize(
    ("variable", "is_bold"), [("X=1", True), ("NO_COLOR=1", False), ("TERM=dumb", False)]
)
def test_on_a_terminal_headings_are_bold_unless_no_colour_is_wanted(variable: str, *, is_bold: bool) -> None:
    ours, theirs = pty.openpty()
    name, _, value = variable.partition("=")
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "TERM": "xterm", name: value}

    subprocess.run(
        [*HERALD, "lag", "--help"], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, check=True
    )

    os.close(theirs)
    shown = os.read(ours, 65_536)
    os.close(ours)
    assert (b"\x1b[1mUsage:" in shown) == is_bold
    assert (b"\x1b" in shown) == is_bold
