"""Builds the parts over Kafka. Kafka's client is imported when one of them is asked for."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from adapters.kafka_times import GroupTimes
from adapters.message_json import request_id_of
from adapters.system_clock import SystemClock
from domain.ports import (
    DeadLetterArchive,
    DeadLetters,
    DeliveryLedger,
    DiscardOrders,
    MessageLog,
    MessagePublisher,
    TopicCatalog,
)
from domain.presence import PresenceTimes, presence_topic
from domain.view_ports import GroupBacklog, GroupLags, Presence, StatusFeed, StatusView
from entrypoints.settings_model import Settings

if TYPE_CHECKING:
    from adapters.kafka_connection import KafkaConnection


def connection(settings: Settings) -> "KafkaConnection":
    from adapters.kafka_connection import KafkaConnection

    kafka = settings.kafka
    return KafkaConnection(
        bootstrap_servers=kafka.bootstrap_servers,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_username=kafka.sasl_username,
        sasl_password=kafka.sasl_password.get_secret_value(),
        ssl_ca_file=kafka.ssl_ca_file,
        ssl_cert_file=kafka.ssl_cert_file,
        ssl_key_file=kafka.ssl_key_file,
        ssl_key_password=kafka.ssl_key_password.get_secret_value(),
        ssl_check_hostname=kafka.ssl_check_hostname,
    )


def publisher(connection: "KafkaConnection", settings: Settings) -> MessagePublisher:
    from adapters.kafka_publisher import KafkaPublisher

    return KafkaPublisher(connection, settings.api.publish_timeout_seconds)


def log(
    connection: "KafkaConnection", settings: Settings, group: str, topics: list[str], times: GroupTimes
) -> MessageLog:
    from adapters.kafka_log import KafkaLog

    group_id = f"{settings.kafka.group_prefix}{group}"
    return KafkaLog(connection, group, group_id, topics, times=times)


def ledger(connection: "KafkaConnection", group: str) -> DeliveryLedger:
    from adapters.kafka_ledger import KafkaLedger

    return KafkaLedger(connection, group)


def dead_letters(connection: "KafkaConnection") -> DeadLetters:
    from adapters.kafka_publisher import KafkaDeadLetters

    return KafkaDeadLetters(connection)


def archive(connection: "KafkaConnection", settings: Settings, clock: SystemClock) -> DeadLetterArchive:
    from adapters.kafka_archive import KafkaDeadLetterArchive

    return KafkaDeadLetterArchive(connection, settings.configured_topics(), clock, request_id_of)


def topics(connection: "KafkaConnection") -> TopicCatalog:
    from adapters.kafka_topics import KafkaTopicCatalog

    return KafkaTopicCatalog(connection)


def status_scan(
    connection: "KafkaConnection", settings: Settings, clock: SystemClock, show: Callable[[str], None]
) -> StatusView:
    from adapters.kafka_status_scan import KafkaStatusScan

    return KafkaStatusScan(connection, settings.configured_topics(), clock, settings.status.hours, show)


def status_feed(connection: "KafkaConnection", settings: Settings, clock: SystemClock) -> StatusFeed:
    from adapters.kafka_status_feed import KafkaStatusFeed

    status = settings.status
    return KafkaStatusFeed(connection, settings.configured_topics(), clock, status.hours, status.messages)


def presence_topic_of(settings: Settings) -> str:
    """Where processes tell of themselves; "" where the log is not Kafka: then it is no topic."""
    return presence_topic(settings.kafka.group_prefix) if settings.broker.backend == "kafka" else ""


def presence(
    connection: "KafkaConnection", settings: Settings, clock: SystemClock, times: PresenceTimes
) -> Presence:
    from adapters.kafka_presence import KafkaPresence

    return KafkaPresence(connection, presence_topic(settings.kafka.group_prefix), clock, times)


def backlog(connection: "KafkaConnection") -> GroupBacklog:
    from adapters.kafka_backlog import KafkaGroupBacklog

    return KafkaGroupBacklog(connection)


def orders(connection: "KafkaConnection") -> DiscardOrders:
    from adapters.kafka_orders import KafkaDiscardOrders

    return KafkaDiscardOrders(connection)


def lags(connection: "KafkaConnection", settings: Settings) -> GroupLags:
    from adapters.kafka_lags import KafkaGroupLags

    return KafkaGroupLags(connection, settings.kafka.group_prefix)
