"""`herald inbox`: the local mail server and SMS provider as a process."""

import asyncio
import contextlib
import logging

from domain.errors import HeraldError
from entrypoints.child_process import ParentLink, end_with_parent
from entrypoints.inbox import InboxOptions, InboxPorts, serve_inbox
from entrypoints.logs import configure_logging, say
from entrypoints.settings import Loaded
from entrypoints.settings_model import Settings
from entrypoints.stop_signals import stopping_on_signals
from entrypoints.welcome import url_of


def run_inbox(loaded: Loaded, supervised_by: int | None = None) -> int:
    """Runs until SIGTERM or Ctrl-C; the exit code."""
    try:
        with contextlib.closing(configure_logging(loaded.settings.logging, "inbox", loaded.secrets())):
            link = end_with_parent(supervised_by)
            asyncio.run(_serve(loaded.settings, link))
    except HeraldError as error:
        logging.getLogger("herald.inbox").critical(
            "The inbox ends: %s", error, extra={"action": "inbox_failed"}
        )
        say(str(error))
        return 1
    return 0


async def _serve(settings: Settings, link: ParentLink) -> None:
    inbox = settings.inbox
    options = InboxOptions(
        host=inbox.host,
        smtp_port=inbox.smtp_port,
        sms_port=inbox.sms_port,
        http_port=inbox.http_port,
        keep=inbox.keep,
    )
    stop = asyncio.Event()

    def ready(ports: InboxPorts) -> None:
        url = url_of(inbox.host, ports.http)
        link.tell_ready(url=url, smtp_port=str(ports.smtp), sms_port=str(ports.sms))
        if not link.is_supervised:
            print(f"Inbox at {url}, mail on port {ports.smtp}, texts on port {ports.sms}")  # noqa: T201 - for the person who started it

    with stopping_on_signals(stop.set):
        await serve_inbox(options, stop=stop, ready=ready)
