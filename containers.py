"""The composition root: settings in, wired objects out.

It only builds, and synchronously; the entrypoint that asks for an object opens and closes it. The adapters of
a technology are imported when they are chosen: a process does not pay for what it does not use.
"""

import random
from pathlib import Path
from typing import TYPE_CHECKING

from dependency_injector import containers, providers

from adapters.email_address import address_fault, ascii_domain
from adapters.message_json import RequestDecoder, decode_record, encode
from adapters.system_clock import SystemClock
from application.apply_topics import ApplyTopics
from application.counts import DeliveryCounts, ProduceCounts
from application.delivery_engine import DeliveryEngine, EngineOptions
from application.notify_email import NotifyByEmail
from application.notify_sms import NotifyBySms
from application.produce import ProduceMessage
from application.request_ids import RequestIds
from domain.ports import (
    DeadLetters,
    EmailSender,
    MessageLog,
    MessagePublisher,
    Retention,
    SmsSender,
    Templates,
    TopicCatalog,
)
from domain.retry import RetryPolicy
from domain.topic import Start
from entrypoints.settings_model import Settings

if TYPE_CHECKING:
    from adapters.kafka_connection import KafkaConnection
    from adapters.memory import MemoryBroker
    from adapters.sqlite_group import SqliteGroupFile


def _subscribed(settings: Settings, group: str) -> list[str]:
    return [topic.name for topic in settings.topics if group in topic.groups]


# The log on SQLite ----------------------------------------------------------------------------


def _sqlite_publisher(settings: Settings) -> MessagePublisher:
    from adapters.sqlite_publisher import SqlitePublisher

    return SqlitePublisher(Path(settings.sqlite.path), settings.api.publish_timeout_seconds)


def _sqlite_group_file(settings: Settings, group: str) -> "SqliteGroupFile":
    from adapters.sqlite_group import SqliteGroupFile

    return SqliteGroupFile(Path(settings.sqlite.path), group)


def _sqlite_log(group_file: "SqliteGroupFile", settings: Settings, group: str) -> MessageLog:
    from adapters.sqlite_log import SqliteLog

    return SqliteLog(group_file, _subscribed(settings, group))


def _sqlite_dead_letters(group_file: "SqliteGroupFile") -> DeadLetters:
    from adapters.sqlite_dead_letters import SqliteDeadLetters

    return SqliteDeadLetters(group_file)


def _sqlite_retention(settings: Settings, clock: SystemClock) -> Retention:
    from adapters.sqlite_retention import SqliteRetention

    return SqliteRetention(Path(settings.sqlite.path), settings.configured_topics(), clock)


def _sqlite_dead_letter_retention(
    group_file: "SqliteGroupFile", settings: Settings, clock: SystemClock
) -> Retention:
    from adapters.sqlite_retention import SqliteDeadLetterRetention

    return SqliteDeadLetterRetention(group_file, settings.broker.dead_letter_days, clock)


def _sqlite_topics(settings: Settings) -> TopicCatalog:
    from adapters.sqlite_topics import SqliteTopicCatalog

    return SqliteTopicCatalog(Path(settings.sqlite.path))


# The log on Kafka -----------------------------------------------------------------------------


def _kafka_connection(settings: Settings) -> "KafkaConnection":
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
    )


def _kafka_publisher(settings: Settings) -> MessagePublisher:
    from adapters.kafka_publisher import KafkaPublisher

    return KafkaPublisher(_kafka_connection(settings), settings.api.publish_timeout_seconds)


def _kafka_log(settings: Settings, group: str) -> MessageLog:
    from adapters.kafka_log import KafkaLog

    group_id = f"{settings.kafka.group_prefix}{group}"
    topics = _subscribed(settings, group)
    return KafkaLog(_kafka_connection(settings), group, group_id, topics, settings.delivery.drain_seconds)


def _kafka_dead_letters(settings: Settings, group: str) -> DeadLetters:  # noqa: ARG001 - one shape for all logs
    from adapters.kafka_publisher import KafkaDeadLetters

    return KafkaDeadLetters(_kafka_connection(settings))


def _kafka_topics(settings: Settings) -> TopicCatalog:
    from adapters.kafka_topics import KafkaTopicCatalog

    return KafkaTopicCatalog(_kafka_connection(settings))


# The log in memory, for tests -----------------------------------------------------------------


def _memory_broker(clock: SystemClock) -> "MemoryBroker":
    from adapters.memory import MemoryBroker

    return MemoryBroker(clock)


def _memory_publisher(broker: "MemoryBroker") -> MessagePublisher:
    from adapters.memory import MemoryPublisher

    return MemoryPublisher(broker)


def _memory_log(broker: "MemoryBroker", settings: Settings, group: str) -> MessageLog:
    from adapters.memory import MemoryLog

    return MemoryLog(broker, group, _subscribed(settings, group))


def _memory_dead_letters(broker: "MemoryBroker") -> DeadLetters:
    from adapters.memory import MemoryDeadLetters

    return MemoryDeadLetters(broker)


def _memory_topics(broker: "MemoryBroker") -> TopicCatalog:
    from adapters.memory import MemoryTopicCatalog

    return MemoryTopicCatalog(broker)


# The channels ---------------------------------------------------------------------------------


def _smtp_sender(settings: Settings) -> EmailSender:
    from adapters.smtp import SmtpEmailSender, SmtpServer

    smtp = settings.smtp
    return SmtpEmailSender(
        SmtpServer(
            host=smtp.host,
            port=smtp.port,
            tls=smtp.tls,
            username=smtp.username,
            password=smtp.password.get_secret_value(),
            sender=smtp.sender,
            connections=smtp.connections,
            timeout_seconds=smtp.timeout_seconds,
            data_timeout_seconds=smtp.data_timeout_seconds,
        ),
        ascii_domain,
    )


def _http_sms_sender(settings: Settings) -> SmsSender:
    from adapters.http_sms import HttpSmsSender, SmsProvider

    sms = settings.sms
    return HttpSmsSender(
        SmsProvider(
            url=sms.url,
            account_sid=sms.account_sid,
            auth_token=sms.auth_token.get_secret_value(),
            sender=sms.sender,
            connections=sms.connections,
            timeout_seconds=sms.timeout_seconds,
        )
    )


def _templates(settings: Settings) -> Templates:
    from adapters.jinja_templates import JinjaTemplates

    return JinjaTemplates(Path(settings.templates.directory) if settings.templates.directory else None)


def _notify_by_email(
    sender: EmailSender, templates: Templates, settings: Settings, clock: SystemClock
) -> NotifyByEmail:
    from adapters.smtp_message import Mailbox

    domain = Mailbox.parse(settings.smtp.sender).domain
    return NotifyByEmail(sender, templates, domain, clock, address_fault)


def _notify_by_sms(sender: SmsSender, templates: Templates) -> NotifyBySms:
    return NotifyBySms(sender, templates)


# The engine -----------------------------------------------------------------------------------


def _retry_policy(settings: Settings) -> RetryPolicy:
    delivery = settings.delivery
    return RetryPolicy(
        first_seconds=delivery.first_retry_seconds,
        max_seconds=delivery.max_retry_seconds,
        max_attempts=delivery.max_attempts,
        max_uncertain=delivery.max_uncertain,
    )


def _engine_options(settings: Settings) -> EngineOptions:
    return EngineOptions(
        concurrency=settings.delivery.concurrency, drain_seconds=settings.delivery.drain_seconds
    )


def _starts(settings: Settings) -> dict[str, Start]:
    return {topic.name: Start(topic.start) for topic in settings.topics}


def _produce(publisher: MessagePublisher, settings: Settings, counts: ProduceCounts) -> ProduceMessage:
    topics = {topic.name: topic for topic in settings.configured_topics()}
    return ProduceMessage(publisher, topics, encode, counts)


def _apply_topics(catalog: TopicCatalog, settings: Settings) -> ApplyTopics:
    return ApplyTopics(catalog, settings.configured_topics(), settings.broker.dead_letter_days)


class Container(containers.DeclarativeContainer):
    """One process's objects. `Container(settings=...)`; a consumer's also says `group="email"`."""

    settings = providers.Dependency(instance_of=Settings)
    group = providers.Dependency(instance_of=str, default="")
    clock = providers.Singleton(SystemClock)
    jitter = providers.Object(random.random)

    memory_broker = providers.Singleton(_memory_broker, clock)
    sqlite_group_file = providers.Singleton(_sqlite_group_file, settings, group)
    publisher = providers.Selector(
        settings.provided.broker.backend,
        sqlite=providers.Singleton(_sqlite_publisher, settings),
        kafka=providers.Singleton(_kafka_publisher, settings),
        memory=providers.Singleton(_memory_publisher, memory_broker),
    )
    message_log = providers.Selector(
        settings.provided.broker.backend,
        sqlite=providers.Singleton(_sqlite_log, sqlite_group_file, settings, group),
        kafka=providers.Singleton(_kafka_log, settings, group),
        memory=providers.Singleton(_memory_log, memory_broker, settings, group),
    )
    dead_letters = providers.Selector(
        settings.provided.broker.backend,
        sqlite=providers.Singleton(_sqlite_dead_letters, sqlite_group_file),
        kafka=providers.Singleton(_kafka_dead_letters, settings, group),
        memory=providers.Singleton(_memory_dead_letters, memory_broker),
    )
    topic_catalog = providers.Selector(
        settings.provided.broker.backend,
        sqlite=providers.Singleton(_sqlite_topics, settings),
        kafka=providers.Singleton(_kafka_topics, settings),
        memory=providers.Singleton(_memory_topics, memory_broker),
    )

    # Kafka forgets by itself, and a log in memory is forgotten with its process.
    retention = providers.Selector(
        settings.provided.broker.backend,
        sqlite=providers.Singleton(_sqlite_retention, settings, clock),
        kafka=providers.Object(None),
        memory=providers.Object(None),
    )
    dead_letter_retention = providers.Selector(
        settings.provided.broker.backend,
        sqlite=providers.Singleton(_sqlite_dead_letter_retention, sqlite_group_file, settings, clock),
        kafka=providers.Object(None),
        memory=providers.Object(None),
    )

    templates = providers.Singleton(_templates, settings)
    email_sender = providers.Singleton(_smtp_sender, settings)
    sms_sender = providers.Singleton(_http_sms_sender, settings)
    sender = providers.Selector(group, email=email_sender, sms=sms_sender)
    channel = providers.Selector(
        group,
        email=providers.Singleton(_notify_by_email, email_sender, templates, settings, clock),
        sms=providers.Singleton(_notify_by_sms, sms_sender, templates),
    )

    apply_topics = providers.Singleton(_apply_topics, topic_catalog, settings)
    request_ids = providers.Singleton(RequestIds, clock, providers.Object(random.SystemRandom().getrandbits))
    request_decoder = providers.Singleton(RequestDecoder, providers.Object(address_fault), request_ids)
    produce_counts = providers.Singleton(ProduceCounts)
    produce = providers.Singleton(_produce, publisher, settings, produce_counts)
    delivery_counts = providers.Singleton(DeliveryCounts)
    engine = providers.Singleton(
        DeliveryEngine,
        log=message_log,
        channel=channel,
        decode=providers.Object(decode_record),
        dead_letters=dead_letters,
        clock=clock,
        policy=providers.Singleton(_retry_policy, settings),
        jitter=jitter,
        starts=providers.Singleton(_starts, settings),
        options=providers.Singleton(_engine_options, settings),
        counts=delivery_counts,
    )
