import asyncio
import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from adapters.memory import MemoryBroker
from adapters.memory_broker import NoteLog
from adapters.memory_status import MemoryGroupLags, MemoryStatusView
from adapters.system_clock import SystemClock
from application.lag import ReadLags, lag_answer
from application.status import ReadStatus, status_answer, story_answer
from domain.ledger import Deferral, LedgerRecord, State
from domain.log import NewRecord, Position, Record, Shard
from domain.status import DeliveryState
from domain.topic import TopicPlan
from domain.view_ports import GroupLags, StatusView
from entrypoints.cli import main
from entrypoints.cli_lag import WATCH_SECONDS, look_again
from entrypoints.cli_options import Invocation
from entrypoints.cli_status import STATES
from entrypoints.programs import Programs
from entrypoints.settings import Settings
from tests.fakes import FakeClock
from tests.unit.test_tables import Terminal

TOPICS = '[{"name": "orders", "partitions": 2}, {"name": "refunds", "partitions": 1, "groups": ["email"]}]'
SHARD = Shard("orders", 1)
STATUS_COLUMNS = ["group", "state", "attempts", "answers lost", "since", "reason", "provider's id"]
STORY_COLUMNS = [
    "at",
    "group",
    "event",
    "attempts",
    "answers lost",
    "reason",
    "provider's id",
    "dead letter",
]
LAG_COLUMNS = ["group", "topic", "partition", "end", "committed", "lag", "deferred", "oldest unfinished"]
NOW = SystemClock().now()


class OneLog(Programs):
    """Everything on one broker in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        names = {"orders": 2, "refunds": 1}
        plans = [
            TopicPlan(name=name, partitions=partitions, replication_factor=1, retention_ms=3_600_000)
            for name, partitions in names.items()
        ]
        self.broker = MemoryBroker(self.clock, plans)

    def status_view(self, settings: Settings, show: Callable[[str], None]) -> StatusView:
        return MemoryStatusView(self.broker, settings.configured_topics())

    def group_lags(self, settings: Settings) -> GroupLags:
        return MemoryGroupLags(self.broker)


@pytest.fixture
def programs() -> OneLog:
    programs = OneLog()
    value = b'{"request_id":"r-1","email":"ada@example.test"}'
    programs.broker.append(NewRecord(SHARD, None, value))
    note = LedgerRecord(
        offset=0,
        request_id="r-1",
        digest=1,
        state=State.RETRYING,
        attempts=2,
        reason="451 later",
        low=0,
        at=1_800_000_000.0,
    )
    programs.broker.ledgers["email", SHARD] = NoteLog()
    programs.broker.ledgers["email", SHARD].append(note)
    return programs


def invocation(programs: Programs) -> Invocation:
    return Invocation(programs, {"HERALD_TOPICS": TOPICS}, Path("/nowhere"))


def call(programs: Programs, *arguments: str) -> int:
    return main(arguments, invocation(programs))


def topics_of(programs: OneLog) -> Settings:
    return invocation(programs).load(None, ()).settings


def cells(table: list[str]) -> list[list[str]]:
    return [re.split(" {2,}", line) for line in table]


def test_status_says_where_the_message_is_and_how_each_group_stands(
    programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call(programs, "status", "r-1")

    place, *table = capsys.readouterr().out.splitlines()
    assert code == 0
    assert place.startswith("orders, partition 1, offset 0, accepted 20")
    assert cells(table)[0] == STATUS_COLUMNS
    assert cells(table)[1] == ["email", "retrying", "2", "0", "2027-01-15T08:00:00.000Z", "451 later"]
    assert cells(table)[2][:2] == ["sms", "skipped"]


def test_status_as_json_is_what_the_path_answers(
    programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    call(programs, "status", "r-1", "--json", "--topic", "orders")

    topics = topics_of(programs).configured_topics()
    view = MemoryStatusView(programs.broker, topics)
    found = asyncio.run(ReadStatus(view, topics)("r-1"))
    assert found is not None
    assert json.loads(capsys.readouterr().out) == status_answer(found)


def test_a_story_is_a_line_a_step(programs: OneLog, capsys: pytest.CaptureFixture[str]) -> None:
    record = Record(SHARD, 0, None, b"{}", (), 0.0)
    programs.broker.deferrals["email", SHARD] = NoteLog()
    programs.broker.deferrals["email", SHARD].append(Deferral(record=record, due=1_800_003_600.5))
    code = call(programs, "status", "r-1", "--story")

    place, *table = capsys.readouterr().out.splitlines()
    assert code == 0
    assert place.startswith("orders, partition 1, offset 0, accepted 20")
    assert cells(table)[0] == STORY_COLUMNS
    assert {row[1] for row in cells(table)[1:3]} == {"accepted", "sms"}
    assert cells(table)[3] == ["2027-01-15T08:00:00.000Z", "email", "retrying", "2", "451 later"]
    assert cells(table)[4][1:3] == ["email", "deferred"]
    assert cells(table)[4][-1] == "is tried again at 2027-01-15T09:00:00.500Z"


def test_a_story_as_json_is_what_the_path_answers(
    programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    call(programs, "status", "r-1", "--json", "--story")

    topics = topics_of(programs).configured_topics()
    found = asyncio.run(ReadStatus(MemoryStatusView(programs.broker, topics), topics)("r-1"))
    assert found is not None
    assert json.loads(capsys.readouterr().out) == story_answer(found)


def test_an_id_that_is_not_known_is_one_line_and_exit_code_1(
    programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [call(programs, "status", "r-2"), call(programs, "status", "r-1", "--topic", "refunds")]

    assert codes == [1, 1]
    assert capsys.readouterr().err.splitlines() == [
        "Error: no message r-2 is known in orders, refunds: check the id, or it is too old",
        "Error: no message r-1 is known in refunds: check the id, or it is too old",
    ]


@pytest.mark.parametrize(("given", "shown"), [("r-\udcff", "r-\\udcff"), ("r-\x1b[2J", "r-\\x1b[2J")])
def test_what_can_be_no_id_is_not_known_and_written_out(
    programs: OneLog, capsys: pytest.CaptureFixture[str], given: str, shown: str
) -> None:
    code = call(programs, "status", given)  # a byte that is no text comes from the shell as \udcff

    assert code == 1
    assert capsys.readouterr().err.startswith(f"Error: no message {shown} is known in orders")


def test_a_topic_that_is_not_configured_is_wrong_usage(
    programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call(programs, "status", "r-1", "--topic", "nonsense")

    assert code == 2
    assert "'nonsense' is not one of orders, refunds" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("status", "r-1"), ("lag",)])
def test_a_log_that_does_not_answer_is_one_line_and_exit_code_1(
    programs: OneLog, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    programs.broker.down = True

    code = call(programs, *command)

    assert (code, capsys.readouterr().err) == (1, "Error: the log does not answer\n")


def test_lag_shows_each_group_s_partitions(programs: OneLog, capsys: pytest.CaptureFixture[str]) -> None:
    programs.broker.positions["sms", SHARD] = Position(1, "1 0 0")

    code = call(programs, "lag")

    table = cells(capsys.readouterr().out.splitlines())
    assert code == 0
    assert table[0] == LAG_COLUMNS
    assert table[2][:7] == ["email", "orders", "1", "1", "never", "1", "0"]
    assert re.fullmatch(r"\d+\.\d s", table[2][7])
    assert table[5] == ["sms", "orders", "1", "1", "1", "0", "0"]


def test_on_a_terminal_the_states_are_explained(programs: OneLog) -> None:
    with redirect_stdout(Terminal()) as shown:
        call(programs, "status", "r-1")

    assert f"\nretrying: {STATES['retrying']}\n" in shown.getvalue()
    assert f"\nskipped: {STATES['skipped']}\n" in shown.getvalue()
    assert STATES["dead"] not in shown.getvalue()


def test_every_state_has_its_explanation() -> None:
    assert list(STATES) == list(DeliveryState)


async def test_watching_shows_it_again_and_a_log_that_is_away_is_told_and_asked_again(
    programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FakeClock()
    shown: list[int] = []
    read = ReadLags(MemoryGroupLags(programs.broker), topics_of(programs).configured_topics(), clock)

    watching = asyncio.create_task(look_again(read, lambda lags: shown.append(len(lags)), clock))
    await clock.advance(WATCH_SECONDS)
    programs.broker.down = True
    await clock.advance(WATCH_SECONDS)
    programs.broker.down = False
    await clock.advance(WATCH_SECONDS)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    assert shown == [5, 5, 5]
    assert capsys.readouterr().err == "the log does not answer\n"


@pytest.mark.parametrize(("seconds", "shown"), [(150.0, "2.5 min"), (7_300.0, "2.0 h"), (259_300.0, "3.0 d")])
def test_ages_are_told_in_fitting_units(
    programs: OneLog, seconds: float, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.clock.time = SystemClock().now() - seconds
    programs.broker.append(NewRecord(Shard("refunds", 0), None, b"{}"))

    call(programs, "lag")

    [row] = [line for line in cells(capsys.readouterr().out.splitlines()) if line[1] == "refunds"]
    assert row[7] == shown


def test_lag_as_json_is_what_the_path_answers(programs: OneLog, capsys: pytest.CaptureFixture[str]) -> None:
    call(programs, "lag", "--json")

    topics = topics_of(programs).configured_topics()
    lags = asyncio.run(ReadLags(MemoryGroupLags(programs.broker), topics, programs.clock)())
    shown, expected = json.loads(capsys.readouterr().out)["lag"], lag_answer(lags)["lag"]
    assert [{**one, "oldest_unfinished_seconds": 0} for one in shown] == [
        {**one, "oldest_unfinished_seconds": 0} for one in expected
    ]
