"""What `deploy/heroku/start.py` makes of a dyno's environment, and what it refuses."""

import os
import runpy
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from entrypoints.cli import herald
from entrypoints.settings import load_settings
from entrypoints.settings_model import Settings
from tests.deployment import ROOT

START = ROOT / "deploy" / "heroku" / "start.py"
PROGRAM = runpy.run_path(str(START))
CERTIFICATES = {
    "KAFKA_TRUSTED_CERT": "-----BEGIN one\n-----BEGIN another\n",
    "KAFKA_CLIENT_CERT": "cert",
    "KAFKA_CLIENT_CERT_KEY": "key",
}


def made(environ: dict[str, str], directory: Path, *command: str) -> dict[str, str]:
    settings: dict[str, str] = PROGRAM["settings"](environ, list(command), directory)
    return settings


def loaded(environ: dict[str, str]) -> Settings:
    ours: dict[str, Any] = {name: value for name, value in environ.items() if name.startswith("HERALD_")}
    return load_settings(None, (), ours, Path("/nowhere")).settings


def test_the_api_listens_where_the_router_asks_and_only_with_keys_or_without_on_purpose(
    tmp_path: Path,
) -> None:
    environ = {"PORT": "31234", "HERALD_API__KEYS": f"shop {'0' * 64} *"}
    settings = loaded(environ | made(environ, tmp_path, "api"))

    assert (settings.api.host, settings.api.port) == ("0.0.0.0", 31234)
    assert settings.broker.backend == "kafka"
    assert settings.logging.file == ""


def test_a_consumer_listens_to_nobody_outside_and_needs_no_keys(tmp_path: Path) -> None:
    settings = loaded(made({"PORT": "31234"}, tmp_path, "consumer", "email"))

    assert (settings.api.host, settings.consumer.host) == ("127.0.0.1", "127.0.0.1")


def test_the_add_on_s_texts_become_settings_and_files_for_this_user_alone(tmp_path: Path) -> None:
    url = "kafka+ssl://ec2-1.example.com:9096,kafka+ssl://ec2-2.example.com:9096"
    environ = {"KAFKA_URL": url, "KAFKA_PREFIX": "columbia-1.", **CERTIFICATES}

    kafka = loaded(made(environ, tmp_path, "consumer", "sms")).kafka

    assert kafka.bootstrap_servers == "ec2-1.example.com:9096,ec2-2.example.com:9096"
    assert kafka.group_prefix == "columbia-1.herald-"
    assert (kafka.security_protocol, kafka.ssl_check_hostname) == ("SSL", False)
    files = [Path(file) for file in (kafka.ssl_ca_file, kafka.ssl_cert_file, kafka.ssl_key_file)]
    assert [file.read_text() for file in files] == list(CERTIFICATES.values())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_without_tls_there_are_no_files(tmp_path: Path) -> None:
    settings = loaded(made({"KAFKA_URL": "kafka://a.example.com:9092"}, tmp_path, "lag"))

    assert settings.kafka.bootstrap_servers == "a.example.com:9092"
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_as_a_setting_counts_more(tmp_path: Path) -> None:
    given = {"HERALD_KAFKA__BOOTSTRAP_SERVERS": "mine:9092", "HERALD_API__PORT": "1"}
    environ = {"KAFKA_URL": "kafka+ssl://add-on:9096", "PORT": "2", "HERALD_API__ANONYMOUS": "true", **given}

    settings = loaded(environ | made(environ, tmp_path, "api"))

    assert (settings.kafka.bootstrap_servers, settings.api.port) == ("mine:9092", 1)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"KAFKA_URL": "http://a:1"}, "KAFKA_URL must be kafka+ssl://HOST:PORT"),
        ({"KAFKA_URL": "kafka+ssl://a:1,"}, "KAFKA_URL must be kafka+ssl://HOST:PORT"),
        (
            {"KAFKA_URL": "kafka+ssl://a:1", "KAFKA_TRUSTED_CERT": "x"},
            "KAFKA_CLIENT_CERT, KAFKA_CLIENT_CERT_KEY is not set",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line_and_1(environ: dict[str, str], said: str) -> None:
    command = [sys.executable, str(START), "lag"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "HERALD_"))}

    done = subprocess.run(command, env=clean | environ, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {said}" if said.startswith("KAFKA_URL") else "Error: KAFKA_URL")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_procfile_starts_the_api_and_a_process_for_each_group() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    commands = {name: shlex.split(command) for name, _, command in (line.partition(": ") for line in lines)}

    assert {name: words[2:] for name, words in commands.items()} == {
        "web": ["api"],
        "email": ["consumer", "email"],
        "sms": ["consumer", "sms"],
    }
    assert all(words[0] == "python" and ROOT / words[1] == START for words in commands.values())
    assert {words[2] for words in commands.values()} <= set(herald.commands)


def test_the_dyno_s_python_is_the_one_that_the_image_has() -> None:
    asked = (ROOT / ".python-version").read_text().strip()

    assert f"FROM python:{asked}." in (ROOT / "Dockerfile").read_text()
