"""Builds what `herald doctor` looks with, from the settings and the container's parts."""

from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

from adapters.disk_probe import DiskProbe
from application.doctor import Check, Doctor
from application.doctor_checks import RETENTION, TOPICS, LookAtConsumers, LookAtRetention, LookAtTopics
from containers import Container
from domain.diagnosis import Seen, unknown
from domain.view_ports import Probe
from entrypoints.doctor_ports import PortsProbe
from entrypoints.run_all import ports_of, started_groups
from entrypoints.settings_model import Settings
from entrypoints.version import herald_version

# Each step of a look has its own limit, a few seconds; these are for what gets round it.
LOG_SECONDS = 15.0
OF_LOG_SECONDS = 10.0
OTHER_SECONDS = 10.0
_LOG_SECTIONS = frozenset({"broker", "sqlite", "kafka", "topics"})


def doctor(settings: Settings, wrong_sections: AbstractSet[str]) -> Doctor:
    """`wrong_sections`: what has mistakes, and is not asked with half its settings; "": all of it."""
    container = Container(settings=settings)

    def unless_wrong(sections: AbstractSet[str], check: Check) -> Check:
        return _not_asked(check) if wrong_sections & {*sections, ""} else check

    ports = PortsProbe(list(ports_of(settings)))
    listens = {"api", "consumer", "inbox", "smtp", "sms"}
    log = Check(names=("log",), look=container.log_probe().look, seconds=LOG_SECONDS)
    others = [
        unless_wrong(_LOG_SECTIONS, _topics(settings)),
        unless_wrong(_LOG_SECTIONS, _consumers(settings)),
        unless_wrong(_LOG_SECTIONS, _retention(settings)),
        unless_wrong({"smtp"}, _other(("mail server",), container.mail_probe())),
        unless_wrong({"sms"}, _other(("sms provider",), container.sms_probe())),
        unless_wrong({"broker", "sqlite", "logging"}, _other(("disk",), _disk_probe(settings))),
        unless_wrong(listens, _other(ports.names, ports)),
    ]
    return Doctor(unless_wrong(_LOG_SECTIONS, log), others, container.clock())


def _other(names: tuple[str, ...], probe: Probe) -> Check:
    return Check(names=names, look=probe.look, seconds=OTHER_SECONDS)


# Those that ask the log have their parts for themselves: they are opened and closed side by side.


def _topics(settings: Settings) -> Check:
    container = Container(settings=settings)
    topics = LookAtTopics(container.apply_topics(), warns_of_single_copies=_is_on_kafka(settings))
    return _of_log((TOPICS,), container, topics.look)


def _consumers(settings: Settings) -> Check:
    container = Container(settings=settings)
    groups = started_groups(settings)
    consumers = LookAtConsumers(container.presence(), groups, herald_version(), container.clock())
    return Check(names=consumers.names, look=consumers.look, seconds=OF_LOG_SECONDS, of_log=True)


def _retention(settings: Settings) -> Check:
    container = Container(settings=settings)
    retention = LookAtRetention(
        container.group_lags(),
        container.apply_topics(),
        settings.configured_topics(),
        container.clock(),
        log_forgets=_is_on_kafka(settings),
    )
    return _of_log((RETENTION,), container, retention.look)


def _of_log(names: tuple[str, ...], container: Container, look: Callable[[], Awaitable[Seen]]) -> Check:
    async def with_topics() -> Seen:
        async with container.topic_catalog():
            return await look()

    return Check(names=names, look=with_topics, seconds=OF_LOG_SECONDS, of_log=True)


def _is_on_kafka(settings: Settings) -> bool:
    return settings.broker.backend == "kafka"


def _not_asked(check: Check) -> Check:
    async def look() -> Seen:
        return Seen(tuple(unknown(name, "not asked: see the settings") for name in check.names))

    return Check(names=check.names, look=look)


def _disk_probe(settings: Settings) -> DiskProbe:
    places = {"log files": Path(settings.logging.file).parent} if settings.logging.file else {}
    if settings.broker.backend == "sqlite":
        places = {"the log": Path(settings.sqlite.path).parent, **places}
    return DiskProbe(places)
