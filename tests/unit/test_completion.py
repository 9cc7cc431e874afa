"""What TAB offers, asked of the program as a shell's script does."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from domain.channels import GROUPS
from domain.outcome import DeadLetterReason
from entrypoints.cli import herald, main
from entrypoints.cli_options import Invocation
from entrypoints.completion_scripts import SCRIPTS
from entrypoints.programs import Programs
from entrypoints.settings import load_settings

ORDERS = '[{"name": "orders"}, {"name": "offers"}, {"name": "refunds"}]'


def offered(folder: Path, *words: str, **environ: str) -> list[str]:
    """For the last of these words behind `herald`, which has only begun."""
    asked = ShellComplete(
        herald, {"obj": Invocation(Programs(), environ, folder)}, "herald", "_HERALD_COMPLETE"
    )
    *before, begun = words
    return [item.value for item in asked.get_completions(before, begun)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["d"], ["dead-letters", "doctor", "drill"]),
        (["topics", ""], ["apply", "discard", "list"]),
        (["consumer", ""], list(GROUPS)),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["lag", "--j"], ["--json"]),
        (["dead-letters", "replay", "--dr"], ["--dry-run"]),
        (["dead-letters", "list", "--group", ""], list(GROUPS)),
        (["dead-letters", "list", "--reason", ""], [reason.value for reason in DeadLetterReason]),
        (["api", "--set", "kafka.ssl_key_"], ["kafka.ssl_key_file=", "kafka.ssl_key_password="]),
        (["dead-letters", "list", "--topic", ""], ["transactions"]),
        (["topics", "discard", "t"], ["transactions"]),
        (["topics", "discard", "transactions", "--group", "e"], ["email"]),
        (["lag", "--supervised"], []),
    ],
)
def test_commands_options_groups_reasons_and_settings_are_offered(
    tmp_path: Path, words: Sequence[str], expected: list[str]
) -> None:
    assert offered(tmp_path, *words) == expected


def file_with(folder: Path, name: str, *topics: str) -> str:
    text = "".join(f'[[topics]]\nname = "{topic}"\n' for topic in topics)
    (folder / name).write_text(text)
    return str(folder / name)


def test_topics_are_those_of_the_settings_wherever_these_come_from(tmp_path: Path) -> None:
    asked = ("dead-letters", "list", "--topic", "o")
    usual = file_with(tmp_path, "herald.toml", "older")
    named = file_with(tmp_path, "my.toml", "own")

    assert offered(tmp_path, *asked) == ["older"]
    assert offered(tmp_path, *asked, HERALD_CONFIG=named) == ["own"]
    assert offered(tmp_path, "dead-letters", "list", "--config", named, *asked[2:], HERALD_CONFIG=usual) == [
        "own"
    ]
    assert offered(tmp_path, *asked, HERALD_TOPICS=ORDERS) == ["orders", "offers"]
    assert offered(
        tmp_path, "status", "--set", f"topics={ORDERS}", "--topic", "r", HERALD_TOPICS='[{"name": "x"}]'
    ) == ["refunds"]


@pytest.mark.parametrize("environ", [{}, {"HERALD_TOPICS": ORDERS}, {"HERALD_CONFIG": "my.toml"}])
def test_topics_are_found_where_the_settings_find_them(tmp_path: Path, environ: dict[str, str]) -> None:
    file_with(tmp_path, "herald.toml", "older")
    file_with(tmp_path, "my.toml", "own", "other")

    settings = load_settings(None, [], environ, tmp_path).settings

    assert offered(tmp_path, "status", "--topic", "", **environ) == [topic.name for topic in settings.topics]


@pytest.mark.parametrize("topics", ["[", '{"a": 1}', '["x"]', "[{}]", "7"])
def test_what_is_wrong_in_the_settings_offers_nothing_and_says_nothing(
    tmp_path: Path, topics: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offered(tmp_path, "status", "--topic", "", HERALD_TOPICS=topics) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_printed_and_is_the_shell_s(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["completion", shell], Invocation(Programs(), {}, tmp_path))

    printed = capsys.readouterr()
    assert (code, printed.out, printed.err) == (0, SCRIPTS[shell], "")
    if found := shutil.which(shell):
        subprocess.run([found, "-n"], input=printed.out.encode(), check=True)


# The scripts in their shells ------------------------------------------------------------------

_ASK = {
    "bash": """
        source "$1"
        COMP_WORDS=("$2" topics l) COMP_CWORD=2
        _herald_completion "$2"
        printf '%s\\n' "${COMPREPLY[@]}"
        complete -p herald
    """,
    "zsh": """
        compdef() { :; }
        compadd() { print -l -- $completions; }
        _describe() { print -l -- ${completions_with_descriptions%%:*}; }
        source $1
        words=($2 topics l) CURRENT=3
        _herald_completion
    """,
    "fish": """
        source $argv[1]
        complete -C "$argv[2] topics l"
    """,
}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_shell_asks_the_program_that_stands_on_its_command_line(shell: str, tmp_path: Path) -> None:
    """It is not on the PATH, and what it says on stderr is not shown."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not there")
    program, script = tmp_path / "herald", tmp_path / "script"
    said = {"bash": "plain,list", "zsh": "plain\\nlist\\nThe topics", "fish": "plain,list"}[shell]
    program.write_text(
        f"#!/bin/sh\necho noise >&2\nprintf '{said}\\n'\necho \"$COMP_WORDS\" > {tmp_path}/asked\n"
    )
    program.chmod(0o755)
    script.write_text(SCRIPTS[shell])
    (tmp_path / "ask").write_text(_ASK[shell])

    done = subprocess.run(
        [found, tmp_path / "ask", script, program],
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )

    assert done.stderr == b""
    assert done.stdout.split()[0] == b"list"
    assert (tmp_path / "asked").read_text().split()[1:] == ["topics", "l"]
