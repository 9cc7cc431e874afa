"""`herald topics discard`: what it asks for, what it says, and when it refuses."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from adapters.memory import MemoryPublisher
from adapters.memory_backlog import MemoryGroupBacklog
from adapters.memory_broker import MemoryBroker
from adapters.memory_orders import MemoryDiscardOrders
from adapters.memory_status import MemoryGroupLags
from adapters.system_clock import SystemClock
from domain.log import NewRecord, Shard
from domain.ports import DiscardOrders
from domain.view_ports import GroupBacklog, GroupLags
from entrypoints.cli import main
from entrypoints.cli_options import Invocation
from entrypoints.moments import epoch_seconds
from entrypoints.programs import Programs
from entrypoints.settings import Settings
from tests.contracts.rig import plan

TOPICS = '[{"name": "orders", "partitions": 3, "groups": ["email"]}, {"name": "alerts"}]'
NOW = ("orders", "--group", "email", "--before", "now")


class OneLog(Programs):
    """Everything on one broker in memory, with two messages in it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(SystemClock(), [plan("orders")])
        value = b'{"request_id": "%d", "email": "ada@example.com"}'
        records = [NewRecord(Shard("orders", number), None, value % number) for number in (1, 2)]
        asyncio.run(MemoryPublisher(self.broker).publish(records))

    def group_lags(self, settings: Settings) -> GroupLags:
        return MemoryGroupLags(self.broker)

    def group_backlog(self, settings: Settings) -> GroupBacklog:
        return MemoryGroupBacklog(self.broker)

    def discard_orders(self, settings: Settings) -> DiscardOrders:
        return MemoryDiscardOrders(self.broker)

    @property
    def ordered(self) -> list[tuple[dict[int, int], str]]:
        return [(dict(one.upto), one.by) for one in self.broker.orders.get(("orders", "email"), ())]


@pytest.fixture
def programs() -> OneLog:
    return OneLog()


def call(programs: Programs, *arguments: str) -> int:
    invocation = Invocation(programs, {"HERALD_TOPICS": TOPICS}, Path("/nowhere"))
    return main(["topics", "discard", *arguments], invocation)


def test_a_dry_run_counts_and_orders_nothing(programs: OneLog, capsys: pytest.CaptureFixture[str]) -> None:
    code = call(programs, *NOW, "--dry-run")

    assert (code, capsys.readouterr().out) == (
        0,
        "2 messages of orders that email has not finished: would end\n",
    )
    assert programs.ordered == []


def test_yes_orders_at_once_and_says_what_follows(
    programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call(programs, *NOW, "--yes")
    said = capsys.readouterr()

    assert (code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "ordered: what orders has, and email has not finished, ends as expired (discarded).",
        "Consumers obey within seconds, those that do not run when they start. See herald lag.",
    ]
    [(upto, by)] = programs.ordered
    assert upto == {0: 0, 1: 1, 2: 1}
    assert re.fullmatch(r"\S+@\S+", by)


def test_as_json_it_tells_the_same(programs: OneLog, capsys: pytest.CaptureFixture[str]) -> None:
    call(programs, "orders", "--group", "email", "--before", "2020-01-31", "--dry-run", "--json")
    looked = json.loads(capsys.readouterr().out)
    call(programs, "orders", "--group", "email", "--before", "2020-01-31T01:00:00+01:00", "--yes", "--json")
    ordered = json.loads(capsys.readouterr().out)

    common = {"topic_name": "orders", "group": "email", "before": "2020-01-31T00:00:00.000Z"}
    assert looked == {**common, "messages": 0, "ordered": False}
    assert ordered == {**common, "messages": None, "ordered": True}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nothing", *NOW[1:], "--yes"), "'nothing' is not one of alerts, orders"),
        (("orders", "--group", "sms", "--before", "now", "--yes"), "'sms' does not read orders: give email"),
        (("orders", "--group", "email", "--before", "soon", "--yes"), "'soon' is no time: give now, 2h"),
        (("orders", "--group", "email", "--before", "2999-01-01", "--yes"), "is still to come"),
        (("orders", "--group", "email", "--yes"), "Missing option '--before'"),
        (("orders", "--before", "now", "--yes"), "Missing option '--group'"),
        (NOW, "nobody can be asked here: add --yes, or --dry-run"),
    ],
)
def test_wrong_usage_is_one_line_and_orders_nothing(
    arguments: tuple[str, ...], line: str, programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call(programs, *arguments)
    said = capsys.readouterr()

    assert (code, said.out) == (2, "")
    assert line in said.err
    assert programs.ordered == []


@pytest.mark.parametrize("how", ["--dry-run", "--yes"])
def test_a_log_that_is_away_is_one_line(
    how: str, programs: OneLog, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.broker.down = True
    code = call(programs, *NOW, how)
    said = capsys.readouterr()

    assert (code, said.out) == (1, "")
    assert said.err == "Error: the log does not answer\n"


def test_a_time_is_given_as_elsewhere() -> None:
    assert epoch_seconds("2030-01-31T12:00:00Z") == 1_896_091_200.0
    assert epoch_seconds("2030-01-31") == 1_896_048_000.0
    assert epoch_seconds("yesterday") is None
    ago = epoch_seconds("2h")
    assert ago is not None
    assert abs(ago - SystemClock().now() + 7200) < 60
