"""Puts together what a consumer process tells of itself."""

import os
import secrets
import socket
from collections.abc import Awaitable, Callable

from application.delivery_engine import DeliveryEngine
from application.report_presence import ProcessIdentity, ReportPresence
from domain.ports import Clock
from domain.presence import PresenceTimes
from domain.view_ports import Presence
from entrypoints.version import herald_version


def report_presence(
    presence: Presence,
    engine: DeliveryEngine,
    clock: Clock,
    group: str,
    topics: tuple[str, ...],
    unready: Callable[[], Awaitable[str | None]],
    times: PresenceTimes,
) -> ReportPresence:
    """The use case for this process."""
    host, pid = socket.gethostname(), os.getpid()
    identity = ProcessIdentity(
        name=f"{host}-{pid}-{secrets.token_hex(4)}",  # a container's pid is 1 again after each start
        group=group,
        host=host,
        pid=pid,
        version=herald_version(),
        topics=topics,
    )
    breaker = engine.breaker
    return ReportPresence(
        presence,
        identity,
        clock,
        snapshot=engine.snapshot,
        counts=engine.counts,
        why_down=lambda: breaker.reason or "the channel is down" if breaker.is_open else None,
        unready=unready,
        times=times,
    )
