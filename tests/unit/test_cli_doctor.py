"""`herald doctor` as it is called: over a log in memory, with providers that answer or do not."""

import json
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from application.doctor import Check, Doctor
from domain.diagnosis import Finding, FindingState, Seen, ok, unknown, warning, wrong
from entrypoints.build_doctor import doctor
from entrypoints.cli import main
from entrypoints.cli_options import Invocation
from entrypoints.doctor_report import show_findings, summary
from entrypoints.programs import Programs
from entrypoints.settings import Settings
from tests.fakes import FakeClock
from tests.free_ports import free_ports

FINDINGS = [
    ok("log", "SQLite"),
    warning("disk", "only 1 GiB free", "make room"),
    wrong("mail server", "[red]127.0.0.1:25\x1b[2J refused", "start it"),
    unknown("topics", "not asked: see the log"),
]


class Canned(Programs):
    """A doctor that finds what a test says; keeps what it was asked about."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings
        self.settings: Settings | None = None
        self.wrong_sections: AbstractSet[str] = frozenset()

    def doctor(self, settings: Settings, wrong_sections: AbstractSet[str]) -> Doctor:
        self.settings, self.wrong_sections = settings, wrong_sections

        async def look() -> Seen:
            return Seen(self.findings)

        return Doctor(Check(names=("log",), look=look), [], FakeClock())


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(programs: Programs, *arguments: str) -> tuple[int, str]:
        code = main(["doctor", *arguments], Invocation(programs, {}, tmp_path))
        captured = capsys.readouterr()
        assert captured.err == ""
        return code, captured.out

    return call


@pytest.mark.parametrize(
    ("finding", "code"), [(FINDINGS[0], 0), (FINDINGS[1], 0), (FINDINGS[2], 1), (FINDINGS[3], 1)]
)
def test_the_exit_code_says_whether_anything_is_wrong(call: Call, finding: Finding, code: int) -> None:
    assert call(Canned(finding))[0] == code


def test_in_a_pipe_each_finding_is_one_line_and_the_last_one_counts_them(call: Call) -> None:
    _, out = call(Canned(*FINDINGS))

    lines = [re.split(" {2,}", line) for line in out.splitlines()]
    assert lines[3:7] == [
        ["ok", "log", "SQLite"],
        ["warning", "disk", "only 1 GiB free -> make room"],
        ["wrong", "mail server", "[red]127.0.0.1:25\\x1b[2J refused -> start it"],
        ["unknown", "topics", "not asked: see the log"],
    ]
    assert lines[-1] == ["1 wrong, 1 unknown, 2 warning, 4 ok."]  # the clock's, and the settings' before


def test_as_json_there_is_all_of_it(call: Call) -> None:
    code, out = call(Canned(*FINDINGS), "--json")

    answer = json.loads(out)
    assert (code, answer["well"]) == (1, False)
    assert answer["findings"][4] == {
        "name": "disk",
        "state": "warning",
        "says": "only 1 GiB free",
        "remedy": "make room",
    }


def test_mistakes_in_the_settings_are_lines_and_their_sections_are_not_asked(call: Call) -> None:
    programs = Canned(FINDINGS[0])

    code, out = call(programs, "--set", "smtp.port=0", "--set", "api.prot=1")

    assert code == 1
    assert out.count("wrong    settings") == 2
    assert programs.wrong_sections == {"smtp", "api"}


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def shown_on_a_terminal(width: int = 60) -> str:
    out = Terminal()
    show_findings(FINDINGS, stream=out, width=width)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


def test_on_a_terminal_what_to_do_stands_below_and_no_one_s_words_are_markup() -> None:
    lines = [line.strip() for line in shown_on_a_terminal().splitlines()]

    assert "[red]127.0.0.1:25\\x1b[2J refused" in lines[3]
    assert lines[4] == "-> start it"


def test_a_clean_bill_says_so() -> None:
    assert summary([ok("a", "x"), ok("b", "y")]) == "All is well: 2 ok."


# The whole of it over memory ------------------------------------------------------------------


def settings_of(tmp_path: Path, **sections: dict[str, Any]) -> Settings:
    api, smtp, sms, http = free_ports(4)
    usual: dict[str, dict[str, Any]] = {
        "broker": {"backend": "memory"},
        "api": {"port": api},
        "smtp": {"port": smtp},
        "sms": {"url": f"http://127.0.0.1:{sms}"},
        "inbox": {"smtp_port": smtp, "sms_port": sms, "http_port": http},
        "logging": {"file": str(tmp_path / "herald-{process}.log")},
    }
    return Settings.model_validate({**usual, **sections})


def states_of(findings: list[Finding]) -> dict[str, set[FindingState]]:
    states: dict[str, set[FindingState]] = {}
    for one in findings:
        states.setdefault(one.name.split()[0], set()).add(one.state)
    return states


async def test_everything_is_looked_at_and_what_is_down_is_wrong(tmp_path: Path) -> None:
    findings = await doctor(settings_of(tmp_path), frozenset())()

    states = states_of(findings)
    assert states["log"] == states["port"] == {FindingState.OK}
    assert states["mail"] == states["sms"] == states["topics"] == {FindingState.WRONG}
    assert {"retention", "disk", "clock"} <= states.keys()


async def test_what_has_mistakes_is_not_asked(tmp_path: Path) -> None:
    findings = await doctor(settings_of(tmp_path), frozenset({"smtp"}))()

    states = states_of(findings)
    assert [one.says for one in findings if one.name == "mail server"] == ["not asked: see the settings"]
    assert states["port"] == {FindingState.UNKNOWN}  # of the inbox, for one, [smtp] decides
    assert states["log"] == {FindingState.OK}
