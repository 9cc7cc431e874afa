"""`herald api`: the produce API, in one process or several."""

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

from domain.errors import HeraldError
from entrypoints.child_process import ParentLink, end_with_parent
from entrypoints.listening import listen_on, port_of
from entrypoints.logs import configure_logging, say
from entrypoints.settings import Loaded
from entrypoints.welcome import url_of


def run_api(loaded: Loaded, supervised_by: int | None = None) -> int:
    """Runs until SIGTERM or Ctrl-C; the exit code. `supervised_by`: see `child_process`."""
    settings = loaded.settings
    try:
        with contextlib.closing(configure_logging(settings.logging, "api", loaded.secrets())):
            link = end_with_parent(supervised_by)
            with listen_on(settings.api.host, settings.api.port, "[api] port") as listener:
                url = url_of(settings.api.host, port_of(listener))
                return _run_on(loaded, listener, url, link)
    except HeraldError as error:
        say(str(error))
        return 1


def _run_on(loaded: Loaded, listener: socket.socket, url: str, link: ParentLink) -> int:
    # The parent of workers answers nothing: it does not pay for what answers.
    if loaded.settings.api.workers > 1:
        from entrypoints.api_workers import run_workers  # noqa: PLC0415 - see above

        _announce(url, link)
        return asyncio.run(run_workers(loaded, listener, url, link))
    from entrypoints.private_directory import private_directory  # noqa: PLC0415 - see above
    from entrypoints.status_child import keeps_status, status_file  # noqa: PLC0415 - see above

    if not keeps_status(loaded.settings):
        return _run_alone(loaded, listener, url, link, None)
    with private_directory() as directory:
        return _run_alone(loaded, listener, url, link, status_file(directory))


def _run_alone(loaded: Loaded, listener: socket.socket, url: str, link: ParentLink, view: Path | None) -> int:
    """`view`: where a child keeps the view of what became of messages; None: there is none."""
    from containers import Container  # noqa: PLC0415 - see above
    from entrypoints.api_process import ApiProcess  # noqa: PLC0415 - see above
    from entrypoints.status_child import StatusOrders, status_child  # noqa: PLC0415 - see above

    orders = None if view is None else StatusOrders(loaded=loaded, file=view, supervisor_fd=link.fd)
    process = ApiProcess(
        Container(settings=loaded.settings, status_file=str(view or "")),
        listener,
        link,
        status_child=None if orders is None else status_child(orders),
        on_started=lambda: _announce(url, link),
    )
    asyncio.run(process.run(url))
    return 0


def _announce(url: str, link: ParentLink) -> None:
    if link.is_supervised:
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"Herald's API: {url} (docs: {url}/docs). Ctrl-C stops it.\n")
        sys.stdout.flush()
