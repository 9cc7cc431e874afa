"""The drill's hold on Herald's processes, over tiny children, and what each is started with."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from domain.errors import HeraldError
from entrypoints.drill_processes import DrillProcess
from entrypoints.drill_site import DrillSite, topic_name
from entrypoints.settings import load_settings
from entrypoints.settings_model import Settings
from entrypoints.supervised_child import ChildSpec

LINK = "import os, signal, sys\nlink = int(sys.argv[-1])\n"
READY = 'os.write(link, b\'{"ready": {"pid": "%d"}}\\n\' % os.getpid())\n'
WAIT = "os.read(link, 1)\n"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@dataclass
class Held:
    """Processes that end with the test."""

    notes: list[str] = field(default_factory=list)
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    processes: list[DrillProcess] = field(default_factory=list)

    def process(self, code: str) -> DrillProcess:
        command = (sys.executable, "-I", "-S", "-c", LINK + code)
        one = DrillProcess(ChildSpec(name="child", command=command), self._note, pause_seconds=0.0)
        self.processes.append(one)
        return one

    def _note(self, note: str) -> None:
        self.notes.append(note)
        self.noted.set()


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    one = Held()
    yield one
    for process in one.processes:
        await process.kill()


def is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_is_there_until_it_is_killed_and_then_again_with_another_id(held: Held) -> None:
    process = held.process(READY + WAIT)
    await process.start()
    first = (await process.facts(20.0))["pid"]
    assert is_running(first)

    await process.kill()
    assert not is_running(first)

    await process.start()
    assert (await process.facts(20.0))["pid"] != first
    assert held.notes == []


async def test_one_that_ends_on_sigterm_is_not_started_again(held: Held) -> None:
    process = held.process(READY + WAIT)
    await process.start()
    pid = (await process.facts(20.0))["pid"]

    assert await process.stop(20.0)
    assert (is_running(pid), held.notes) == (False, [])


async def test_one_that_does_not_end_on_sigterm_is_killed(held: Held) -> None:
    process = held.process(STUBBORN + READY + WAIT)
    await process.start()
    pid = (await process.facts(20.0))["pid"]

    assert not await process.stop(0.05)
    assert not is_running(pid)


async def test_one_that_ends_by_itself_is_started_again_and_noted_with_its_last_words(
    held: Held, tmp_path: Path
) -> None:
    marker = str(tmp_path / "ran")
    once = (
        f"if not os.path.exists({marker!r}):\n    open({marker!r}, 'w').close()\n    sys.exit('Error: no')\n"
    )
    process = held.process(once + READY + WAIT)
    await process.start()
    await held.noted.wait()

    assert held.notes == ["child ended by itself (1): no; started again"]


async def test_one_that_ends_before_it_is_ready_is_an_error_with_its_last_words(held: Held) -> None:
    process = held.process("sys.exit('Error: no topic')")
    await process.start()

    with pytest.raises(HeraldError, match=r"^child ended before it was ready: no topic$"):
        await process.facts(20.0)


async def test_one_that_is_not_ready_in_time_is_an_error_with_what_it_waits_for(held: Held) -> None:
    process = held.process('os.write(link, b\'{"waiting": "the log"}\\n\')\n' + WAIT)
    await process.start()

    with pytest.raises(HeraldError, match=r"^child is not ready after 1 s: the log$"):
        await process.facts(1.0)


async def test_a_program_that_is_not_there_is_an_error() -> None:
    process = DrillProcess(ChildSpec(name="child", command=("/nowhere/herald",)), print)

    with pytest.raises(HeraldError, match="child cannot be started: No such file"):
        await process.start()


def site(settings: Settings, folder: Path = Path("/tmp/drill")) -> DrillSite:  # noqa: S108 - never touched
    return DrillSite(
        folder=folder,
        is_kept=False,
        name="herald-drill-1",
        settings=settings,
        program=["herald"],
        consumer=["broken"],
    )


PORTS = {"email": 2525, "sms": 8026}


def loaded_by_children(settings: Settings, **environ: str) -> Settings:
    """What a child comes to with the environment that it is given."""
    given = site(settings).processes(environ, PORTS)["email"].environ or {}
    return load_settings(None, [], given, Path("/nowhere")).settings


def test_children_use_the_drill_s_own_providers_and_folder_whatever_the_settings_say(tmp_path: Path) -> None:
    real = load_settings(
        None,
        ["smtp.host=smtp.example.com", "sms.url=https://api.example.com", "sqlite.path=/var/lib/herald.db"],
        {},
        tmp_path,
    ).settings
    theirs = loaded_by_children(real, HERALD_SMTP__HOST="smtp.example.com", HERALD_CONFIG="/etc/herald.toml")

    assert (theirs.smtp.host, theirs.smtp.port, theirs.sms.url) == (
        "127.0.0.1",
        2525,
        "http://127.0.0.1:8026",
    )
    assert (theirs.broker.backend, theirs.sqlite.path, theirs.smtp.tls) == (
        "sqlite",
        "data/herald.db",
        "none",
    )


def test_children_take_over_the_brokers_and_how_to_deliver_with_names_of_the_drill_s_own(
    tmp_path: Path,
) -> None:
    given = ["broker.backend=kafka", "kafka.bootstrap_servers=k:1", "delivery.concurrency=7"]
    real = load_settings(None, [*given, "kafka.group_prefix=mine-"], {}, tmp_path).settings
    theirs = loaded_by_children(real)

    assert (theirs.broker.backend, theirs.kafka.bootstrap_servers) == ("kafka", "k:1")
    assert (theirs.kafka.group_prefix, theirs.delivery.concurrency) == ("herald-drill-1-", 7)
    assert [topic.name for topic in theirs.topics] == ["herald-drill-1"]


def test_settings_that_give_up_or_wait_long_are_not_counted_as_losses(tmp_path: Path) -> None:
    hasty = ["delivery.max_attempts=1", "delivery.max_uncertain=0", "delivery.dedupe_messages=10"]
    slow = ["delivery.first_retry_seconds=600"]
    theirs = loaded_by_children(load_settings(None, [*hasty, *slow], {}, tmp_path).settings).delivery

    usual = Settings().delivery
    assert (theirs.max_attempts, theirs.max_uncertain) == (usual.max_attempts, usual.max_uncertain)
    assert theirs.dedupe_messages == usual.dedupe_messages
    assert theirs.first_retry_seconds == usual.first_retry_seconds


def test_secrets_go_by_environment_and_never_among_the_arguments(tmp_path: Path) -> None:
    given = ["broker.backend=kafka", "kafka.security_protocol=SASL_SSL", "kafka.sasl_mechanism=PLAIN"]
    login = ["kafka.sasl_username=u", "kafka.sasl_password=hush"]
    spec = site(load_settings(None, [*given, *login], {}, tmp_path).settings).processes({}, PORTS)["sms"]

    assert "hush" not in " ".join(spec.command)
    assert (spec.environ or {})["HERALD_KAFKA__SASL_PASSWORD"] == "hush"


def test_only_consumers_are_started_by_the_other_program() -> None:
    specs = site(Settings()).processes({}, PORTS)

    assert {name: spec.command for name, spec in specs.items()} == {
        "api": ("herald", "api"),
        "email": ("broken", "consumer", "email"),
        "sms": ("broken", "consumer", "sms"),
    }


def test_a_topic_on_kafka_has_a_name_that_no_other_drill_has() -> None:
    kafka = Settings.model_validate({"broker": {"backend": "kafka"}})

    assert topic_name(kafka).startswith("herald-drill-")
    assert topic_name(kafka) != topic_name(kafka)
    assert topic_name(Settings()) == "drill"
