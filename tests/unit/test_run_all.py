"""Which processes `herald run` starts, and what it looks at before."""

import contextlib
import io
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import HeraldError
from entrypoints.listening import listen_on, port_of
from entrypoints.run_all import HERALD, check_ports, children_of, needs_inbox, run_all
from entrypoints.settings import load_settings
from entrypoints.settings_model import Settings

FREE: dict[str, Any] = {
    "api": {"port": 0},
    "inbox": {"smtp_port": 0, "sms_port": 0, "http_port": 0},
}


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def started(given: Settings, *arguments: str) -> dict[str, tuple[str, ...]]:
    """The children's names, and their arguments behind the program."""
    return {child.name: child.command[len(HERALD) :] for child in children_of(given, arguments)}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with listen_on("127.0.0.1", 0, "a test") as sock:
        yield port_of(sock)


def test_by_default_api_both_consumers_and_the_inbox_are_started() -> None:
    children = started(settings())

    assert children == {
        "api": ("api",),
        "consumer-email": ("consumer", "email"),
        "consumer-sms": ("consumer", "sms"),
        "inbox": ("inbox",),
    }


def test_every_child_is_given_the_same_settings() -> None:
    children = started(settings(), "--config", "herald.toml", "--set", "api.port=9000")

    assert {words[-4:] for words in children.values()} == {
        ("--config", "herald.toml", "--set", "api.port=9000")
    }


def test_only_groups_that_some_topic_is_for_are_started() -> None:
    topics = [{"name": "a", "groups": ["sms"]}, {"name": "b", "groups": ["sms"]}]

    children = started(settings(topics=topics))

    assert [name for name in children if name.startswith("consumer")] == ["consumer-sms"]


def test_a_fixed_port_for_consumers_is_counted_up_for_the_second_one() -> None:
    children = started(settings(consumer={"port": 9100}), "--set", "consumer.port=9100")

    assert children["consumer-email"][-1] == "consumer.port=9100"
    assert children["consumer-sms"][-2:] == ("--set", "consumer.port=9101")


@pytest.mark.parametrize(
    ("sections", "needed"),
    [
        ({}, True),
        ({"smtp": {"host": "mail.example.com", "port": 587}}, True),
        ({"sms": {"url": "https://api.twilio.com"}}, True),
        ({"smtp": {"host": "localhost", "port": 25}, "sms": {"url": "https://api.twilio.com"}}, False),
        (
            {"smtp": {"host": "mail.example.com", "port": 1025}, "sms": {"url": "http://10.0.0.9:8026"}},
            False,
        ),
        ({"smtp": {"host": "localhost"}, "sms": {"url": "https://api.twilio.com"}}, True),
        (
            {
                "smtp": {"host": "10.0.0.7", "port": 25},
                "sms": {"url": "http://10.0.0.7:8026"},
                "inbox": {"host": "10.0.0.7"},
            },
            True,
        ),
    ],
)
def test_the_inbox_is_started_when_mails_or_texts_go_there(sections: dict[str, Any], needed: bool) -> None:  # noqa: FBT001 - a table
    assert needs_inbox(settings(**sections)) is needed


def test_the_memory_log_is_refused_with_what_to_do() -> None:
    with pytest.raises(HeraldError, match=r"set broker\.backend to sqlite or kafka"):
        children_of(settings(broker={"backend": "memory"}), ())


def refusal_of(**sections: Any) -> str:
    with pytest.raises(HeraldError) as refusal:
        check_ports(settings(**FREE | sections))
    return str(refusal.value)


def test_a_port_in_use_is_told_with_the_setting_that_chose_it(taken_port: int) -> None:
    mails = {"inbox": FREE["inbox"] | {"smtp_port": taken_port}, "smtp": {"port": taken_port}}
    texts = {
        "inbox": FREE["inbox"] | {"sms_port": taken_port},
        "sms": {"url": f"http://localhost:{taken_port}"},
    }

    line = refusal_of(api={"port": taken_port})

    assert line.startswith(f"port {taken_port} on 127.0.0.1 is in use: ")
    assert "[api] port" in line
    assert "[consumer] port" in refusal_of(consumer={"port": taken_port})
    assert "[inbox] smtp_port and [smtp] port" in refusal_of(**mails)
    assert "[inbox] sms_port and [sms] url" in refusal_of(**texts)


def test_the_port_of_the_inboxs_page_is_looked_at_too(taken_port: int) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        free = port_of(sock)
    inbox = {"smtp_port": free, "sms_port": 0, "http_port": taken_port}

    assert "[inbox] http_port" in refusal_of(inbox=inbox, smtp={"port": free})


def test_ports_of_an_inbox_that_is_not_started_do_not_matter(taken_port: int) -> None:
    elsewhere = {"smtp": {"host": "mail.example.com"}, "sms": {"url": "https://api.twilio.com"}}

    check_ports(settings(**FREE | {"inbox": {"http_port": taken_port}} | elsewhere))


def test_free_ports_are_free_again_after_the_look() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = port_of(sock)
    check_ports(settings(**FREE | {"api": {"port": port}, "smtp": {"port": 1}, "sms": {"url": "http://h"}}))

    listen_on("127.0.0.1", port, "a test").close()


def test_a_run_with_a_port_in_use_ends_with_one_line_and_1(
    taken_port: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = f"logging.file={tmp_path}/log/herald-{{process}}.log"
    loaded = load_settings(None, [f"api.port={taken_port}", log], {}, tmp_path)

    code = run_all(loaded, ())

    assert code == 1
    assert capfd.readouterr().err == (
        f"Error: port {taken_port} on 127.0.0.1 is in use: stop what listens there, "
        "or set [api] port to another\n"
    )


READY_CHILD = """
import os, sys
link = int(sys.argv[-1])
os.write(link, b'{"ready": {}}\\n')
os.read(link, 1)
"""


class ScreenThatStops(io.StringIO):
    """Sends SIGTERM to this process as soon as something was shown."""

    def flush(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_shows_its_screen_once_all_are_ready_and_ends_well_on_sigterm(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = f"logging.file={tmp_path}/herald-{{process}}.log"
    ports = [f"{name}=0" for name in ("api.port", "inbox.smtp_port", "inbox.http_port", "inbox.sms_port")]
    loaded = load_settings(None, [*ports, log], {}, tmp_path)
    with contextlib.redirect_stdout(ScreenThatStops()) as screen:
        code = run_all(loaded, (), (sys.executable, "-I", "-S", "-c", READY_CHILD))

    assert code == 0
    assert screen.getvalue().startswith("Herald is running.\n")
    assert "Not ready yet" not in screen.getvalue()
    assert capfd.readouterr().err == "Stopping; what is in flight has 20 s. Ctrl-C again ends all at once.\n"
