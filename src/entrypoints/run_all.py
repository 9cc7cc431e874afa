"""`herald run`: API, consumers and inbox on this machine, each its own process under one supervisor."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from domain.errors import HeraldError
from entrypoints.listening import listen_on
from entrypoints.local_inbox import takes_mail, takes_texts
from entrypoints.logs import configure_logging, say
from entrypoints.screen import tell
from entrypoints.settings import Loaded
from entrypoints.settings_model import Settings
from entrypoints.stop_signals import stopping_on_signals
from entrypoints.supervised_child import ChildSpec
from entrypoints.supervisor import Started, Supervisor, SupervisorTimes
from entrypoints.welcome import show_welcome

# -P: a folder of the user's that is named like one of Herald's must not be imported instead.
HERALD = (sys.executable, "-P", "-m", "entrypoints.cli")
_STOP_MARGIN_SECONDS = 5.0


def run_all(loaded: Loaded, arguments: Sequence[str], program: Sequence[str] = HERALD) -> int:
    """Runs until Ctrl-C or SIGTERM; the exit code.

    `arguments`: the `--config` and `--set` that this process was given, so that its children come to the
    same settings. `program`: what is started with them, and with a command before them.
    """
    try:
        with contextlib.closing(configure_logging(loaded.settings.logging, "run", loaded.secrets())):
            children = children_of(loaded.settings, arguments, program)
            check_ports(loaded.settings)
            return asyncio.run(_supervise(loaded.settings, children))
    except HeraldError as error:
        say(str(error))
        return 1


def children_of(
    settings: Settings, arguments: Sequence[str], program: Sequence[str] = HERALD
) -> list[ChildSpec]:
    """The processes that these settings ask for. Raises `HeraldError` when they cannot share a log."""
    if settings.broker.backend == "memory":
        raise HeraldError(
            "the memory log cannot be shared by processes: set broker.backend to sqlite or kafka"
        )
    children = [_child("api", [*program, "api"], arguments)]
    for number, group in enumerate(started_groups(settings)):
        port = settings.consumer.port and settings.consumer.port + number
        own = ["--set", f"consumer.port={port}"] if number and port else []
        children.append(_child(f"consumer-{group}", [*program, "consumer", group], [*arguments, *own]))
    if needs_inbox(settings):
        inbox = _child("inbox", [*program, "inbox"], arguments)
        children.append(replace(inbox, stops_last=True))
    return children


def started_groups(settings: Settings) -> list[str]:
    """Every group that some topic is for, in the order of the settings."""
    return list(dict.fromkeys(group for topic in settings.topics for group in topic.groups))


def needs_inbox(settings: Settings) -> bool:
    """Whether mails or texts of these settings go to the inbox on this machine."""
    return takes_mail(settings) or takes_texts(settings)


def check_ports(settings: Settings) -> None:
    """Raises `HeraldError` for the first port that cannot be had: better one line now than four later."""
    for host, port, setting in ports_of(settings):
        listen_on(host, port, setting).close()


def ports_of(settings: Settings) -> Iterator[tuple[str, int, str]]:
    """Host, port and the setting that names it, of all that listens; port 0: any free one."""
    yield settings.api.host, settings.api.port, "[api] port"
    for number, _ in enumerate(started_groups(settings)):
        port = settings.consumer.port and settings.consumer.port + number
        yield settings.consumer.host, port, "[consumer] port"
    if needs_inbox(settings):
        inbox = settings.inbox
        yield inbox.host, inbox.smtp_port, "[inbox] smtp_port and [smtp] port"
        yield inbox.host, inbox.sms_port, "[inbox] sms_port and [sms] url"
        yield inbox.host, inbox.http_port, "[inbox] http_port"


def _child(name: str, command: Sequence[str], arguments: Sequence[str]) -> ChildSpec:
    return ChildSpec(name=name, command=(*command, *arguments))


async def _supervise(settings: Settings, children: Sequence[ChildSpec]) -> int:
    drain = max(settings.delivery.drain_seconds, settings.api.publish_timeout_seconds)
    supervisor = Supervisor(children, tell, SupervisorTimes(stop=drain + _STOP_MARGIN_SECONDS))

    def stop() -> None:
        if not supervisor.is_stopping:
            tell(f"Stopping; what is in flight has {drain:g} s. Ctrl-C again ends all at once.")
        supervisor.stop()

    def welcome(started: Started) -> None:
        # A reader that has gone must not end the run.
        with contextlib.suppress(OSError):
            show_welcome(settings, started)

    with stopping_on_signals(stop):
        return await supervisor.run(welcome)
