"""The one screen that `herald run` shows: where everything is, and a command to try it with."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from entrypoints.local_inbox import takes_mail, takes_texts
from entrypoints.settings_model import Settings
from entrypoints.supervisor import Started

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_LABEL_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a label or none, and a text that must stay on one line to be copied."""

    label: str
    text: str


def url_of(host: str, port: int) -> str:
    """The address a browser on this machine can use."""
    shown = _ANY_HOST.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def welcome_lines(settings: Settings, started: Started) -> list[Line]:
    """What the screen says, in order; empty lines part its blocks."""
    return [
        Line("", "Herald is starting." if started.late else "Herald is running."),
        Line("", ""),
        *_places(settings, started),
        Line("", ""),
        Line("", "Send a message:"),
        Line("", ""),
        Line("", curl_to_copy(settings, _api_url(settings, started))),
        Line("", ""),
        *_ending(started),
    ]


def curl_to_copy(settings: Settings, api_url: str) -> str:
    """A command that works as it is, but for the key where keys are asked for."""
    topic = settings.topics[0]
    message = {"topic_name": topic.name}
    if "email" in topic.groups:
        message["email"] = "ada@example.com"
    if "sms" in topic.groups:
        message["phone"] = "+12025550143"  # 555-01xx is kept free for examples
    message |= {"message_body": "Your payment of 42.00 EUR arrived.", "transaction_id": "T-1001"}
    key = " -H 'Authorization: Bearer YOUR-KEY'" if settings.api.asks_for_keys() else ""
    return (
        f"curl {api_url}/api/v1/produce -H 'Content-Type: application/json'{key} -d '{json.dumps(message)}'"
    )


def show_welcome(settings: Settings, started: Started, stream: TextIO | None = None) -> None:
    """Puts the screen on `stream` (stdout), with colours where that is a terminal."""
    stream = sys.stdout if stream is None else stream
    lines = welcome_lines(settings, started)
    if stream.isatty():
        _show_in_colour(lines, stream)
    else:
        stream.write("".join(f"{_plain(line)}\n" for line in lines))
    stream.flush()


def _api_url(settings: Settings, started: Started) -> str:
    return started.ready.get("api", {}).get("url") or url_of(settings.api.host, settings.api.port)


def _places(settings: Settings, started: Started) -> Iterator[Line]:
    api = _api_url(settings, started)
    yield Line("Board", api)
    yield Line("API", api)
    yield Line("API docs", f"{api}/docs")
    if "inbox" in started.ready or "inbox" in started.late:
        yield Line("Inbox", _inbox(settings, started))
    yield from _elsewhere(settings)
    yield Line("Data", _data(settings))
    yield Line("Logs", _logs(settings))


def _inbox(settings: Settings, started: Started) -> str:
    facts = started.ready.get("inbox", {})
    url = facts.get("url") or url_of(settings.inbox.host, settings.inbox.http_port)
    smtp = facts.get("smtp_port") or settings.inbox.smtp_port
    sms = facts.get("sms_port") or settings.inbox.sms_port
    return f"{url} (takes mail on port {smtp}, texts on port {sms})"


def _elsewhere(settings: Settings) -> Iterator[Line]:
    """Where what does not come to the inbox goes: to customers, or past an inbox whose port was moved."""
    groups = {group for topic in settings.topics for group in topic.groups}
    if "email" in groups and not takes_mail(settings):
        yield Line("Mail", f"goes to {settings.smtp.host}:{settings.smtp.port}, not to the inbox")
    if "sms" in groups and not takes_texts(settings):
        url = urlsplit(settings.sms.url)
        yield Line("Texts", f"go to {url.scheme}://{url.netloc.rpartition('@')[2]}, not to the inbox")


def _data(settings: Settings) -> str:
    if settings.broker.backend == "kafka":
        return f"Kafka at {settings.kafka.bootstrap_servers}"
    return str(Path(settings.sqlite.path).absolute())


def _logs(settings: Settings) -> str:
    if not settings.logging.file:
        return "here"
    return str(Path(settings.logging.file.replace("{process}", "*")).absolute())


def _ending(started: Started) -> Iterator[Line]:
    for name, reason in started.late.items():
        yield Line("", f"Not ready yet: {name}{f' ({reason})' if reason else ''}")
    yield Line("", "Ctrl-C stops everything.")


def _plain(line: Line) -> str:
    return f"  {line.label:<{_LABEL_WIDTH}} {line.text}" if line.label else line.text


def _show_in_colour(lines: list[Line], stream: TextIO) -> None:
    # Imported here, for the children start meanwhile and a pipe needs no colours.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    console = Console(file=stream, soft_wrap=True, highlight=False)
    for line in lines:
        text = Text(f"  {line.label:<{_LABEL_WIDTH}} ", style="dim") if line.label else Text()
        text.append(line.text, style="bold" if line.text.startswith("Herald") else "cyan" * bool(line.label))
        console.print(text)
