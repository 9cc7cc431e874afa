"""docker-compose.yml, the Dockerfile and other papers of running it: held against the settings there are."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.cli import herald
from entrypoints.settings import load_settings
from entrypoints.settings_contradictions import is_loopback
from entrypoints.settings_model import Settings
from entrypoints.settings_sources import from_environment, known_fields
from tests import deployment, pages
from tests.deployment import ROOT

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
FOLDERS = ("deploy", "docs")
SERVICES = deployment.services()


def papers() -> Iterator[Path]:
    """Every text that tells how to run it."""
    named = ("docker-compose.yml", "Dockerfile", "Procfile", "README.md", "CONTRIBUTING.md", "Makefile")
    inside = chain.from_iterable((ROOT / folder).rglob("*") for folder in FOLDERS)
    for path in sorted([*(ROOT / name for name in named), *inside]):
        if path.is_file() and path.suffix not in {".svg", ".png"}:
            yield path


def loaded(environ: Mapping[str, str]) -> Settings:
    """The settings that such an environment makes; a mistake is an error that names all."""
    return load_settings(None, (), environ, Path("/nowhere")).settings


# Names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", list(papers()), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_of_a_setting_in_it_is_one(paper: Path) -> None:
    text = paper.read_text(encoding="utf-8")
    named = dict.fromkeys(deployment.settings_named(text), "[]")

    mistakes = from_environment(named, Path("/nowhere")).mistakes

    assert [str(mistake) for mistake in mistakes if mistake.name not in known_fields()] == []


def test_a_wrong_name_would_be_found() -> None:
    assert deployment.settings_named(
        "HERALD_SMTP__HOSTS=x # HERALD_TOPICS, HERALD_PORT and HERALD_CONFIG"
    ) == {
        "HERALD_SMTP__HOSTS",
        "HERALD_TOPICS",
    }


# Compose --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(deployment.of_herald()))
def test_what_a_service_gives_its_process_are_right_settings(name: str) -> None:
    given = deployment.image_environment() | deployment.environment(SERVICES[name])

    settings = loaded({key: value for key, value in given.items() if key.startswith("HERALD_")})

    assert settings.logging.file == ""


def test_there_is_a_service_for_the_api_for_each_group_and_for_the_inbox() -> None:
    commands = {name: tuple(service["command"]) for name, service in deployment.of_herald().items()}

    assert commands == {
        "api": ("api",),
        "email": ("consumer", "email"),
        "sms": ("consumer", "sms"),
        "inbox": ("inbox",),
    }
    assert {words[0] for words in commands.values()} <= set(herald.commands)


def test_api_and_groups_keep_their_log_on_all_three_brokers_with_three_copies() -> None:
    for name in ("api", "email", "sms"):
        settings = loaded(deployment.environment(SERVICES[name]))

        assert settings.broker.backend == "kafka"
        assert settings.kafka.bootstrap_servers.split(",") == [f"{broker}:9092" for broker in BROKERS]
        assert {topic.replication_factor for topic in settings.topics} == {3}


def test_inside_each_listens_everywhere_and_outside_only_this_machine_reaches_it() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert [port for port in published if not is_loopback(port.rsplit(":", 2)[0])] == []
    assert loaded(deployment.environment(SERVICES["api"])).api.host == "0.0.0.0"
    assert loaded(deployment.environment(SERVICES["email"])).consumer.host == "0.0.0.0"
    assert loaded(deployment.environment(SERVICES["inbox"])).inbox.host == "0.0.0.0"


def test_the_published_ports_are_those_of_the_contract_and_lead_to_where_each_listens() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert ports["api"] == ["127.0.0.1:8080:8080"]
    assert "127.0.0.1:8025:8025" in ports["inbox"]
    for number, broker in enumerate(BROKERS, 1):
        listeners = listeners_of(broker)
        assert ports[broker] == [f"127.0.0.1:{number}9092:{number}9092"]
        assert listeners["LISTENERS"]["HOST"] == ("0.0.0.0", number * 10_000 + 9092)
        assert listeners["ADVERTISED_LISTENERS"]["HOST"] == ("127.0.0.1", number * 10_000 + 9092)
        assert listeners["ADVERTISED_LISTENERS"]["INSIDE"] == (broker, 9092)


def listeners_of(broker: str) -> Mapping[str, Mapping[str, tuple[str, int]]]:
    given = deployment.environment(SERVICES[broker])
    return {
        kind: {
            name: (host, int(port))
            for name, host, port in re.findall(r"(\w+)://([^:,]+):(\d+)", given[f"KAFKA_{kind}"])
        }
        for kind in ("LISTENERS", "ADVERTISED_LISTENERS")
    }


def test_what_is_sent_is_sent_to_the_inbox_s_ports() -> None:
    email, sms, inbox = (loaded(deployment.environment(SERVICES[name])) for name in ("email", "sms", "inbox"))

    assert (email.smtp.host, email.smtp.port) == ("inbox", inbox.inbox.smtp_port)
    assert sms.sms.url == f"http://inbox:{inbox.inbox.sms_port}"


def test_a_container_is_given_longer_to_stop_than_a_process_to_drain() -> None:
    for name, service in deployment.of_herald().items():
        assert service["stop_grace_period"] == "30s"
        assert loaded(deployment.environment(service)).delivery.drain_seconds < 30, name


def test_every_service_starts_again_may_gain_no_rights_and_tells_its_health() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] == "unless-stopped", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "curl" not in service["healthcheck"]["test"], name
        assert ":latest" not in service["image"], name
        assert ":" in service["image"], name
    assert all(service["read_only"] for service in deployment.of_herald().values())


def test_what_brokers_keep_is_in_volumes_of_their_own() -> None:
    document = yaml.safe_load(deployment.COMPOSE.read_text())
    for broker in BROKERS:
        [volume] = SERVICES[broker]["volumes"]
        assert volume == f"{broker}:{deployment.environment(SERVICES[broker])['KAFKA_LOG_DIRS']}"
        assert broker in document["volumes"]


def test_the_brokers_are_of_the_version_that_the_tests_start() -> None:
    pom = (ROOT / "tests" / "kafka" / "pom.xml").read_text()
    [version] = re.findall(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)</version>", pom)

    assert {SERVICES[broker]["image"] for broker in BROKERS} == {f"apache/kafka:{version}"}


def test_prometheus_and_grafana_start_only_when_asked_for() -> None:
    asked_for = {name for name, service in SERVICES.items() if service.get("profiles") == ["watching"]}

    assert asked_for == {"prometheus", "grafana"}
    assert all("profiles" not in service for service in deployment.of_herald().values())


# The image ------------------------------------------------------------------------------------------


def steps() -> list[tuple[str, str]]:
    return list(deployment.instructions((ROOT / "Dockerfile").read_text()))


def test_the_image_s_environment_is_right_and_says_nothing_of_who_may_call() -> None:
    given = {k: v for k, v in deployment.image_environment().items() if k.startswith("HERALD_")}
    settings = loaded(given)

    assert (settings.consumer.host, settings.consumer.port) == ("0.0.0.0", 9100)
    assert is_loopback(settings.api.host)
    assert not settings.api.anonymous


def test_the_image_runs_as_nobody_in_particular_from_a_base_with_a_version() -> None:
    bases = {rest.split()[0] for name, rest in steps() if name == "FROM"}
    said = dict(steps())

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["USER"])
    assert said["ENTRYPOINT"] == '["herald"]'
    assert [base for base in bases if not re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)] == []
    assert len(bases) == 1


def test_the_version_on_the_image_is_the_project_s() -> None:
    [version] = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    assert f'image.version="{version}"' in (ROOT / "Dockerfile").read_text()
    assert {service["image"] for service in deployment.of_herald().values()} == {f"herald:{version}"}


def test_nothing_but_what_the_build_copies_is_sent_to_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied: set[str] = set()
    for name, rest in steps():
        if name == "COPY" and not rest.startswith("--from"):
            copied |= {word.removeprefix("./") for word in rest.split()[:-1]}

    assert ignored[ignored.index("*") :][0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / path).exists() for path in copied)


# Docs -----------------------------------------------------------------------------------------------


def shown_environments() -> Iterator[Any]:
    """What pages give as an environment, `HERALD_X__Y=value`: each block beside those before it."""
    for path in pages.READ_BY_PEOPLE:
        given: dict[str, str] = {}
        for number, block in enumerate(pages.blocks(path.read_text(), "sh", "ini", "env", "")):
            pairs = re.findall(r"""(HERALD_\w+)=('[^']*'|"[^"]*"|\S*)""", block)
            shown = {name: value.strip("'\"") for name, value in pairs if "$" not in value}
            given |= shown
            if shown:
                yield pytest.param(dict(given), id=f"{path.name}-{number}")


def test_a_container_that_a_page_starts_is_given_longer_to_stop_than_its_processes_to_drain() -> None:
    """Docker's own ten seconds would kill what is being sent."""
    shown = [
        command
        for path in pages.READ_BY_PEOPLE
        for block in pages.blocks(path.read_text(), "sh")
        for command in re.findall(r"docker run (?:.*\\\n)*.*", block)
    ]
    given = [int(re.findall(r"--stop-timeout (\d+)", command)[0]) for command in shown]

    assert given
    assert min(given) > loaded({}).delivery.drain_seconds


@pytest.mark.parametrize("given", list(shown_environments()))
def test_the_values_that_a_page_shows_are_right(given: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "value").write_text("x")
    texts = {
        name: str(tmp_path / "value") if _is_read_from_a_file(name) else value
        for name, value in given.items()
    }

    loaded(texts)


def _is_read_from_a_file(name: str) -> bool:
    """Its value is then the path of a file, which is nowhere here."""
    return name.endswith("_FILE") and bool(from_environment({name: "/nowhere"}, Path("/")).mistakes)
