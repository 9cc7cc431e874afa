import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from adapters.memory import MemoryBroker, MemoryTopicCatalog
from domain.errors import LogUnavailable
from domain.ports import TopicCatalog
from domain.topic import FoundTopic
from entrypoints.cli import main
from entrypoints.cli_options import Invocation
from entrypoints.programs import Programs
from entrypoints.settings import Settings
from tests.fakes import FakeClock

FULL = '[{"name": "orders", "partitions": 3, "groups": ["email"]}]'


class OneCatalog(Programs):
    """Everything on one broker in memory."""

    def __init__(self) -> None:
        self.catalog: TopicCatalog = MemoryTopicCatalog(MemoryBroker(FakeClock()))

    def topic_catalog(self, settings: Settings) -> TopicCatalog:
        return self.catalog


class AbsentCatalog(MemoryTopicCatalog):
    async def find(self, names: AbstractSet[str]) -> Mapping[str, FoundTopic]:
        raise LogUnavailable("no broker answers at 127.0.0.1:9092")


@pytest.fixture
def programs() -> OneCatalog:
    return OneCatalog()


def call(programs: Programs, *arguments: str, topics: str = FULL) -> int:
    return main(["topics", *arguments], Invocation(programs, {"HERALD_TOPICS": topics}, Path("/nowhere")))


def cells(table: str) -> list[list[str]]:
    return [re.split(" {2,}", line) for line in table.splitlines()]


def test_list_shows_each_topic_with_herald_s_own_beside_it(
    programs: OneCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call(programs, "list")

    assert code == 0
    assert cells(capsys.readouterr().out) == [
        ["topic", "partitions", "copies", "kept", "groups", "exists"],
        ["orders", "3", "by brokers", "168 h", "email", "no"],
        ["", "orders.email.ledger", "3", "by brokers", "360 h", "email", "no"],
        ["", "orders.email.deferred", "3", "by brokers", "forever", "email", "no"],
        ["", "orders.email.dead-letters", "1", "by brokers", "2160 h", "email", "no"],
        ["", "orders.email.control", "1", "by brokers", "forever", "email", "no"],
    ]


def test_apply_creates_what_is_missing_and_says_so(
    programs: OneCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [call(programs, "apply"), call(programs, "apply")]

    assert codes == [0, 0]
    assert capsys.readouterr().out.splitlines() == [
        "created orders",
        "created orders.email.ledger",
        "created orders.email.deferred",
        "created orders.email.dead-letters",
        "created orders.email.control",
        "every topic exists already",
    ]


def test_list_as_json_is_what_the_path_answers(
    programs: OneCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    call(programs, "apply")
    capsys.readouterr()

    call(programs, "list", "--json")

    assert json.loads(capsys.readouterr().out) == {
        "topics": [{"name": "orders", "partitions": 3, "replication_factor": 1, "groups": ["email"]}]
    }


def test_list_tells_what_exists(programs: OneCatalog, capsys: pytest.CaptureFixture[str]) -> None:
    call(programs, "apply")
    capsys.readouterr()

    call(programs, "list")

    assert cells(capsys.readouterr().out)[1] == ["orders", "3", "1", "168 h", "email", "yes"]


def test_a_topic_with_other_numbers_is_one_line(
    programs: OneCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    call(programs, "apply")
    capsys.readouterr()

    code = call(programs, "apply", topics=FULL.replace("3", "4"))

    assert code == 1
    assert capsys.readouterr().err == (
        "Error: topic orders has 3 partitions where the settings say 4: "
        "set partitions = 3, or take a new topic; partitions are for life\n"
    )


@pytest.mark.parametrize("command", ["list", "apply"])
def test_a_log_that_does_not_answer_is_one_line(
    programs: OneCatalog, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    programs.catalog = AbsentCatalog(MemoryBroker(FakeClock()))

    code = call(programs, command)

    assert code == 1
    assert capsys.readouterr().err == "Error: no broker answers at 127.0.0.1:9092\n"
