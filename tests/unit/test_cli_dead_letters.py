import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.memory_archive import MemoryDeadLetterArchive
from adapters.memory_broker import MemoryBroker
from adapters.message_json import request_id_of
from domain.dead_letter import DeadLetter
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason
from domain.ports import DeadLetterArchive
from entrypoints.cli import main
from entrypoints.cli_options import Invocation
from entrypoints.programs import Programs
from entrypoints.settings import Settings
from tests.contracts.rig import plan
from tests.fakes import FakeClock

SHARD = Shard("transactions", 0)
VALUE = b'{"request_id": "order-%d", "email": "ada@example.com", "message_body": "Paid."}'


class OneArchive(Programs):
    """The dead letters of one broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(FakeClock(), [plan("transactions")])

    def dead_letter_archive(self, settings: Settings) -> DeadLetterArchive:
        return MemoryDeadLetterArchive(self.broker, request_id_of)

    def keep(self, offset: int, *, of_record: dict[str, Any] | None = None, **changes: Any) -> None:
        headers = (("traceparent", b"00-1"),)
        record = Record(SHARD, offset, b"C-7", VALUE % offset, headers, 0.0)
        letter = DeadLetter(
            record=record._replace(**(of_record or {})),
            group="email",
            reason=DeadLetterReason.REFUSED,
            error="550 no such user",
            attempts=2,
            failed_at=1_700_000_000.25 + offset,
        )
        self.broker.letters.append(replace(letter, **changes))

    def sent_again(self) -> list[str]:
        return [
            dict(record.headers)["herald-request-id"].decode() for record in self.broker.read(SHARD, 0, 99)
        ]


@pytest.fixture
def programs() -> OneArchive:
    return OneArchive()


def call(programs: Programs, *arguments: str) -> int:
    return main(["dead-letters", *arguments], Invocation(programs, {}, Path("/nowhere")))


def test_list_shows_neither_address_nor_body(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(3)
    code = call(programs, "list")
    table = capsys.readouterr().out

    assert code == 0
    assert [re.split(" {2,}", line) for line in table.splitlines()] == [
        ["id", "request id", "key", "reason", "error", "attempts", "failed at", "replays"],
        [
            "transactions.email-0-3",
            "order-3",
            "C-7",
            "refused",
            "550 no such user",
            "2",
            "2023-11-14T22:13:23.250Z",
            "0",
        ],
    ]
    assert "ada" not in table


def test_list_as_json_is_what_the_path_answers(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(3)
    call(programs, "list", "--json")
    answer = json.loads(capsys.readouterr().out)

    assert answer["next"] is None
    assert answer["dead_letters"][0]["id"] == "transactions.email-0-3"


def test_a_list_that_is_cut_says_how_to_go_on(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    for offset in range(3):
        programs.keep(offset)
    call(programs, "list", "--limit", "2")
    said = capsys.readouterr()
    after = said.err.split()[-1]
    call(programs, "list", "--after", after)
    rest = capsys.readouterr()

    assert said.err == f"There are more: add --after {after}\n"
    assert [line.split()[0] for line in rest.out.splitlines()] == ["id", "transactions.email-0-2"]
    assert rest.err == ""


@pytest.mark.parametrize(
    ("arguments", "offsets"),
    [
        (["--group", "sms"], [2]),
        (["--topic", "transactions"], [1, 2, 3]),
        (["--reason", "invalid"], [3]),
        (["--key", "C-9"], [2]),
        (["--since", "2023-11-14T22:13:22Z"], [2, 3]),
        (["--until", "2023-11-14T22:13:22Z"], [1]),
        (["--since", "2023-11-15"], []),
        (["--since", "1h"], []),
        (["--until", "30d"], [1, 2, 3]),
    ],
)
def test_filters_narrow(
    programs: OneArchive, capsys: pytest.CaptureFixture[str], arguments: list[str], offsets: list[int]
) -> None:
    programs.keep(1)
    programs.keep(2, of_record={"key": b"C-9"}, group="sms")
    programs.keep(3, reason=DeadLetterReason.INVALID)
    call(programs, "list", "--json", *arguments)

    assert [one["offset"] for one in json.loads(capsys.readouterr().out)["dead_letters"]] == offsets


def test_a_key_that_is_no_text_is_looked_for_as_it_was_typed(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(1, of_record={"key": b"\xff"})
    programs.keep(2)
    code = call(programs, "list", "--key", "\udcff", "--json")  # as Python reads the byte FF of an argument

    assert code == 0
    assert [one["offset"] for one in json.loads(capsys.readouterr().out)["dead_letters"]] == [1]


def test_the_list_tells_what_was_sent_again_from_what_died_again_and_what_is_parked(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    for offset, replays in enumerate((b"0", b"0", b"1", b"3")):
        programs.keep(offset, of_record={"headers": (("herald-replay", replays),)})
    call(programs, "replay", "--yes", "transactions.email-0-1")
    call(programs, "list")
    _, _, *rows = capsys.readouterr().out.splitlines()

    assert [re.split(" {2,}", row)[-1] for row in rows] == ["0", "1, sent again", "1", "3, parked"]


def test_show_shows_everything_line_by_line(programs: OneArchive, capsys: pytest.CaptureFixture[str]) -> None:
    programs.keep(3)
    code = call(programs, "show", "transactions.email-0-3")
    told = [re.split(" {2,}", line, maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    lines = {name: value for name, *value in told}

    assert code == 0
    assert lines["value"] == [(VALUE % 3).decode()]
    assert lines["header traceparent"] == ["00-1"]
    assert [lines[name] for name in ("reason", "parked", "replayed by")] == [["refused"], ["no"], []]


def test_show_as_json_has_bytes_that_are_no_text_in_base64(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(3, of_record={"value": b"\x00\xff", "key": None, "headers": (("raw", b"\xff"),)})
    call(programs, "show", "transactions.email-0-3", "--json")
    told = json.loads(capsys.readouterr().out)

    assert (told["value_base64"], told["key"]) == ("AP8=", None)
    assert told["headers"] == [{"name": "raw", "value_base64": "/w=="}]


def test_what_a_terminal_might_obey_is_written_out(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = b"\x1b]0;owned\x07\nid  forged"
    programs.keep(3, of_record={"value": evil, "key": evil, "headers": ((evil.decode(), evil),)})
    call(programs, "show", "transactions.email-0-3")
    call(programs, "list")
    said = capsys.readouterr().out

    assert "\x1b" not in said
    assert "\x07" not in said
    assert "\\x1b]0;owned\\x07\\nid  forged" in said


def test_replay_by_filter_sends_again_and_says_how_many(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(1)
    programs.keep(2)
    programs.keep(3, reason=DeadLetterReason.INVALID)
    codes = [call(programs, "replay", "--reason", "refused", "--yes") for _ in range(2)]

    assert codes == [0, 0]
    assert capsys.readouterr().out.splitlines() == [
        "2 dead letters sent again",
        "0 dead letters sent again, 2 had been sent again before",
    ]
    assert programs.sent_again() == ["order-1", "order-2"]
    assert re.fullmatch(r".+@.+", programs.broker.replays[0][1].by)


def test_a_dry_run_needs_no_word_and_changes_nothing(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(1)
    code = call(programs, "replay", "--all", "--dry-run")

    assert code == 0
    assert capsys.readouterr().out == "1 dead letter would be sent again\n"
    assert programs.sent_again() == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--all"], "nobody can be asked here: add --yes, or --dry-run to look only"),
        (["--yes"], "say which: either ids, or filters such as --reason, or --all"),
        (["--yes", "--all", "transactions.email-0-1"], "say which: either ids, or filters"),
        (["--yes", "--group", "email", "transactions.email-0-1"], "say which: either ids, or filters"),
        (["--yes", "--group", "emial"], "'emial' is not one of email, sms"),
        (["--yes", "--topic", "nothing"], "'nothing' is not one of transactions"),
        (["--yes", "--key", ""], "'--key': is empty"),
        (["--yes", "--since", "yesterday"], "'yesterday' is no time: give 2h, 7d, 2030-01-31 or"),
        (["--yes", "--all", "--rate", "-1"], "'--rate'"),
    ],
)
def test_wrong_usage_is_one_line_and_sends_nothing(
    programs: OneArchive, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    programs.keep(1)
    code = call(programs, "replay", *arguments)
    said = capsys.readouterr()

    assert (code, said.out, said.err.count("\n")) == (2, "", 1)
    assert says in said.err
    assert programs.sent_again() == []


def test_an_id_that_no_letter_has_is_told_and_the_others_are_sent(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(1)
    codes = [
        call(programs, "replay", "--yes", "transactions.email-0-1", "transactions.email-0-9"),
        call(programs, "show", "transactions.email-0-9"),
    ]
    said = capsys.readouterr()

    assert codes == [1, 1]
    assert said.out == "1 dead letter sent again\n"
    trouble = "Error: there is no dead letter transactions.email-0-9: see herald dead-letters list\n"
    assert said.err == 2 * trouble


def test_one_that_is_parked_is_refused_by_its_id(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(1, of_record={"headers": (("herald-replay", b"3"),)})
    code = call(programs, "replay", "--yes", "transactions.email-0-1")
    said = capsys.readouterr()

    assert (code, said.out) == (1, "0 dead letters sent again, 1 parked\n")
    assert said.err.startswith("Error: what was sent again three times and died each time is parked")
    assert programs.sent_again() == []


def test_what_the_log_does_not_take_is_told_with_its_reason(
    programs: OneArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.keep(1, of_record={"shard": Shard("transactions", 9)})
    code = call(programs, "replay", "--yes", "--all")
    said = capsys.readouterr()

    assert (code, said.out) == (1, "0 dead letters sent again, 1 failed\n")
    assert said.err == (
        "Error: the log has no partition 9 of transactions; "
        "mend that and give the command again: it goes on\n"
    )


@pytest.mark.parametrize(
    "command", [["list"], ["show", "transactions.email-0-1"], ["replay", "--all", "--yes"]]
)
def test_a_log_that_does_not_answer_is_one_line(
    programs: OneArchive, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    programs.broker.down = True
    code = call(programs, *command)

    assert (code, capsys.readouterr().err) == (1, "Error: the log does not answer\n")
