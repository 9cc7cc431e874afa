"""The screen that `herald run` shows."""

import io
import json
import shlex
from typing import Any

from entrypoints.settings_model import Settings
from entrypoints.supervisor import Started
from entrypoints.welcome import curl_to_copy, show_welcome, url_of

ALL_READY = Started({"api": {}, "consumer-email": {}, "consumer-sms": {}, "inbox": {}}, {})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def shown(given: Settings, started: Started = ALL_READY) -> str:
    screen = io.StringIO()
    show_welcome(given, started, screen)
    return screen.getvalue()


def message_in(curl: str) -> dict[str, str]:
    words = shlex.split(curl)
    message: dict[str, str] = json.loads(words[words.index("-d") + 1])
    return message


def test_the_screen_says_where_everything_is() -> None:
    given = settings(
        sqlite={"path": "/var/herald/herald.db"}, logging={"file": "/var/log/herald-{process}.log"}
    )

    text = shown(given)

    assert "  Board     http://127.0.0.1:8080\n" in text
    assert "  API       http://127.0.0.1:8080\n" in text
    assert "http://127.0.0.1:8080/docs\n" in text
    assert "http://127.0.0.1:8025 (takes mail on port 1025, texts on port 8026)\n" in text
    assert "/var/herald/herald.db\n" in text
    assert "/var/log/herald-*.log\n" in text
    assert text.endswith("Ctrl-C stops everything.\n")


def test_ports_that_the_machine_chose_are_shown_as_chosen() -> None:
    inbox = {"url": "http://127.0.0.1:4025", "smtp_port": "4125", "sms_port": "4026"}
    started = Started({"api": {"url": "http://127.0.0.1:4080"}, "inbox": inbox}, {})

    text = shown(settings(api={"port": 0}), started)

    assert "http://127.0.0.1:4080/docs\n" in text
    assert "curl http://127.0.0.1:4080/api/v1/produce " in text
    assert "http://127.0.0.1:4025 (takes mail on port 4125, texts on port 4026)\n" in text


def test_no_inbox_is_shown_where_none_was_started() -> None:
    text = shown(settings(), Started({"api": {}}, {}))

    assert "Inbox" not in text


def test_where_mails_and_texts_go_is_shown_when_it_is_not_the_inbox() -> None:
    """Who changes the inbox's ports alone would wait in vain for a mail there."""
    other_ports = shown(settings(inbox={"smtp_port": 2025, "sms_port": 2026}), Started({"api": {}}, {}))
    mail_alone = shown(settings(smtp={"host": "smtp.example.com", "port": 587}))
    no_texts = shown(settings(inbox={"sms_port": 2026}, topics=[{"name": "mails", "groups": ["email"]}]))

    assert "  Mail      goes to 127.0.0.1:1025, not to the inbox\n" in other_ports
    assert "  Texts     go to http://127.0.0.1:8026, not to the inbox\n" in other_ports
    assert "  Mail      goes to smtp.example.com:587, not to the inbox\n" in mail_alone
    assert "Texts " not in mail_alone
    assert "Texts " not in no_texts
    assert "not to the inbox" not in shown(settings())


def test_kafka_and_logs_on_the_screen_are_named_as_such() -> None:
    text = shown(settings(broker={"backend": "kafka"}, logging={"file": ""}))

    assert "Kafka at 127.0.0.1:9092\n" in text
    assert "Logs      here\n" in text


def test_who_is_not_ready_is_named_with_what_it_waits_for() -> None:
    late = {"consumer-email": "no broker answers", "consumer-sms": ""}

    text = shown(settings(), Started({"api": {}}, late))

    assert "Not ready yet: consumer-email (no broker answers)\n" in text
    assert "Not ready yet: consumer-sms\n" in text
    assert text.startswith("Herald is starting.\n")


def test_the_curl_names_a_configured_topic_and_an_address_for_each_of_its_groups() -> None:
    both = message_in(curl_to_copy(settings(), "http://127.0.0.1:8080"))
    mail_only = message_in(
        curl_to_copy(settings(topics=[{"name": "mails", "groups": ["email"]}]), "http://127.0.0.1:8080")
    )
    texts_only = message_in(
        curl_to_copy(settings(topics=[{"name": "texts", "groups": ["sms"]}]), "http://127.0.0.1:8080")
    )

    assert (both["topic_name"], both["email"], both["phone"]) == (
        "transactions",
        "ada@example.com",
        "+12025550143",
    )
    assert (mail_only["topic_name"], "phone" in mail_only) == ("mails", False)
    assert (texts_only["topic_name"], "email" in texts_only) == ("texts", False)


def test_the_curl_asks_for_the_key_where_keys_are_asked_for() -> None:
    with_keys = shlex.split(curl_to_copy(settings(api={"keys_file": "keys.txt"}), "http://x"))
    without = shlex.split(curl_to_copy(settings(), "http://x"))

    assert "Authorization: Bearer YOUR-KEY" in with_keys
    assert not [word for word in without if "Authorization" in word]


def test_an_address_for_all_interfaces_is_shown_as_one_that_a_browser_can_open() -> None:
    assert url_of("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert url_of("::", 80) == "http://[::1]:80"
    assert url_of("10.0.0.7", 80) == "http://10.0.0.7:80"


def test_a_terminal_gets_the_same_words_and_long_lines_stay_whole() -> None:
    terminal = Terminal()
    show_welcome(settings(), ALL_READY, terminal)
    text = terminal.getvalue()

    assert curl_to_copy(settings(), "http://127.0.0.1:8080") in text
    assert "Ctrl-C stops everything." in text
