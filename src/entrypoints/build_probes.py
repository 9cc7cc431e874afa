"""Builds what looks at the log and at the providers for `herald doctor`."""

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.system_clock import SystemClock
from domain.view_ports import Probe
from entrypoints.build_channels import sms_provider, smtp_server
from entrypoints.settings_model import Settings

if TYPE_CHECKING:
    from adapters.kafka_connection import KafkaConnection


def of_sqlite(path: Path, settings: Settings, clock: SystemClock) -> Probe:
    from adapters.sqlite_probe import SqliteProbe

    groups = sorted({group for topic in settings.topics for group in topic.groups})
    return SqliteProbe(path, groups, now=clock.now)


def of_kafka(connection: "KafkaConnection", settings: Settings, clock: SystemClock) -> Probe:
    from adapters.kafka_probe import KafkaProbe

    return KafkaProbe(connection, settings.configured_topics(), now=clock.now)


def of_mail_server(settings: Settings, clock: SystemClock) -> Probe:
    from adapters.smtp import own_name
    from adapters.smtp_probe import SmtpProbe

    return SmtpProbe(smtp_server(settings), own_name(), now=clock.now)


def of_sms_provider(settings: Settings, clock: SystemClock) -> Probe:
    from adapters.http_sms_probe import HttpSmsProbe

    return HttpSmsProbe(sms_provider(settings), now=clock.now)
