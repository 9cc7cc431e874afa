"""The composition root: settings in, wired objects out.

It only builds, and synchronously; the entrypoint that asks for an object opens and closes it. An adapter
whose library takes long to import is built in `build_on_kafka` or `build_channels`, which import it when it
is chosen: nobody pays for what is not used.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from dependency_injector import containers, providers

from adapters.email_address import address_fault
from adapters.file_presence import FilePresence
from adapters.kafka_times import GroupTimes
from adapters.memory import MemoryBroker, MemoryDeadLetters, MemoryLog, MemoryPublisher, MemoryTopicCatalog
from adapters.memory_archive import MemoryDeadLetterArchive
from adapters.memory_backlog import MemoryGroupBacklog
from adapters.memory_ledger import MemoryLedger
from adapters.memory_orders import MemoryDiscardOrders
from adapters.memory_presence import MemoryPresence
from adapters.memory_probe import MemoryProbe
from adapters.memory_status import MemoryGroupLags, MemoryStatusView
from adapters.message_json import RequestDecoder, decode_record, request_id_of
from adapters.process_end import end_at_once
from adapters.random_digits import RandomDigits
from adapters.sqlite_archive import SqliteDeadLetterArchive
from adapters.sqlite_backlog import SqliteGroupBacklog
from adapters.sqlite_dead_letters import SqliteDeadLetters
from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_lags import SqliteGroupLags
from adapters.sqlite_ledger import SqliteLedger
from adapters.sqlite_log import SqliteLog
from adapters.sqlite_orders import SqliteDiscardOrders
from adapters.sqlite_publisher import SqlitePublisher
from adapters.sqlite_retention import SqliteDeadLetterRetention, SqliteLedgerRetention, SqliteRetention
from adapters.sqlite_status import SqliteStatusView
from adapters.sqlite_status_store import SqliteStatusStore
from adapters.sqlite_stored_status import SqliteStoredStatus, StatusIsOff
from adapters.sqlite_topics import SqliteTopicCatalog
from adapters.system_clock import SystemClock
from application.apply_topics import ApplyTopics
from application.board import Board
from application.board_reading import TakeReadings
from application.build_status import BuildStatus
from application.circuit_breaker import BreakerPolicy
from application.counts import DeliveryCounts, ProduceCounts
from application.delivery_engine import DeliveryEngine
from application.engine_options import EngineOptions
from application.lag import ReadLags
from application.notify_sms import NotifyBySms
from application.request_ids import RequestIds
from application.status import ReadStatus
from domain.presence import PresenceTimes
from domain.retry import RetryPolicy
from domain.topic import Topic
from domain.view_ports import StatusView
from entrypoints import build_channels, build_on_kafka, build_probes, build_tracing
from entrypoints.settings_model import Settings


def _subscribed(settings: Settings, group: str) -> list[str]:
    return [topic.name for topic in settings.topics if group in topic.groups]


def _stored_status(file: str, topics: Sequence[Topic], clock: SystemClock) -> StatusView:
    return SqliteStoredStatus(Path(file), topics, clock) if file else StatusIsOff()


def _tell_nobody(_: str) -> None:
    """Nobody is there to read it."""


# The engine -----------------------------------------------------------------------------------


def _most_per_second(settings: Settings, group: str) -> float:
    return settings.smtp.max_per_second if group == "email" else settings.sms.max_per_second


def _topics_by_name(settings: Settings) -> dict[str, Topic]:
    return {topic.name: topic for topic in settings.configured_topics()}


class Container(containers.DeclarativeContainer):
    """One process's objects. `Container(settings=...)`; a consumer's also says `group="email"`.

    `retry_policy`, `engine_options`, `breaker_policy` and `group_times` also hold numbers that no setting
    has. A program that wants other ones, such as a test that cannot wait for an hour, adds them before it
    builds a container: `Container.engine_options.add_kwargs(stalled_seconds=10.0)`.
    """

    settings = providers.Dependency(instance_of=Settings)
    group = providers.Dependency(instance_of=str, default="")
    clock = providers.Singleton(SystemClock)
    jitter = providers.Object(random.random)
    backend = settings.provided.broker.backend
    topics = settings.provided.configured_topics.call()
    subscribed = providers.Callable(_subscribed, settings, group)
    dead_letter_days = settings.provided.broker.dead_letter_days
    delivery = settings.provided.delivery

    # Times and bounds, also those that no setting holds.
    retry_policy = providers.Singleton(
        RetryPolicy,
        first_seconds=delivery.first_retry_seconds,
        max_seconds=delivery.max_retry_seconds,
        max_attempts=delivery.max_attempts,
        max_uncertain=delivery.max_uncertain,
    )
    breaker_policy = providers.Singleton(BreakerPolicy)
    group_times = providers.Singleton(GroupTimes, drain=delivery.drain_seconds)
    engine_options = providers.Singleton(
        EngineOptions,
        concurrency=delivery.concurrency,
        drain_seconds=delivery.drain_seconds,
        dedupe_messages=delivery.dedupe_messages,
        most_per_second=providers.Callable(_most_per_second, settings, group),
        frozen_seconds=group_times.provided.frozen,
        breaker=breaker_policy,
    )

    memory_broker = providers.Singleton(MemoryBroker, clock)
    sqlite_path = providers.Factory(Path, settings.provided.sqlite.path)
    sqlite_group_file = providers.Singleton(SqliteGroupFile, sqlite_path, group)
    kafka_connection = providers.Singleton(build_on_kafka.connection, settings)

    publisher = providers.Selector(
        backend,
        sqlite=providers.Singleton(
            SqlitePublisher, sqlite_path, settings.provided.api.publish_timeout_seconds
        ),
        kafka=providers.Singleton(build_on_kafka.publisher, kafka_connection, settings),
        memory=providers.Singleton(MemoryPublisher, memory_broker),
    )
    message_log = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteLog, sqlite_group_file, subscribed),
        kafka=providers.Singleton(
            build_on_kafka.log, kafka_connection, settings, group, subscribed, group_times
        ),
        memory=providers.Singleton(MemoryLog, memory_broker, group, subscribed),
    )
    ledger = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteLedger, sqlite_group_file),
        kafka=providers.Singleton(build_on_kafka.ledger, kafka_connection, group),
        memory=providers.Singleton(MemoryLedger, memory_broker, group),
    )
    dead_letters = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteDeadLetters, sqlite_group_file),
        kafka=providers.Singleton(build_on_kafka.dead_letters, kafka_connection),
        memory=providers.Singleton(MemoryDeadLetters, memory_broker),
    )
    dead_letter_archive = providers.Selector(
        backend,
        sqlite=providers.Singleton(
            SqliteDeadLetterArchive, sqlite_path, topics, clock, providers.Object(request_id_of)
        ),
        kafka=providers.Singleton(build_on_kafka.archive, kafka_connection, settings, clock),
        memory=providers.Singleton(MemoryDeadLetterArchive, memory_broker, providers.Object(request_id_of)),
    )
    topic_catalog = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteTopicCatalog, sqlite_path),
        kafka=providers.Singleton(build_on_kafka.topics, kafka_connection),
        memory=providers.Singleton(MemoryTopicCatalog, memory_broker),
    )
    # Who takes long says so here.
    show = providers.Dependency(instance_of=object, default=_tell_nobody)
    # Where a process of its own keeps the view of what became of messages; "": there is none.
    status_file = providers.Dependency(instance_of=str, default="")
    status_view = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteStatusView, sqlite_path, topics, clock),
        kafka=providers.Singleton(_stored_status, status_file, topics, clock),
        memory=providers.Singleton(MemoryStatusView, memory_broker, topics),
    )
    # For a command: whether or not an API runs.
    status_scan = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteStatusView, sqlite_path, topics, clock),
        kafka=providers.Singleton(build_on_kafka.status_scan, kafka_connection, settings, clock, show),
        memory=providers.Singleton(MemoryStatusView, memory_broker, topics),
    )
    status_feed = providers.Singleton(build_on_kafka.status_feed, kafka_connection, settings, clock)
    status_store = providers.Singleton(SqliteStatusStore, providers.Factory(Path, status_file))
    build_status = providers.Singleton(
        BuildStatus,
        status_feed,
        status_store,
        clock,
        settings.provided.status.hours,
        settings.provided.status.messages,
    )
    group_lags = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteGroupLags, sqlite_path),
        kafka=providers.Singleton(build_on_kafka.lags, kafka_connection, settings),
        memory=providers.Singleton(MemoryGroupLags, memory_broker),
    )
    # What `herald doctor` looks with.
    log_probe = providers.Selector(
        backend,
        sqlite=providers.Singleton(build_probes.of_sqlite, sqlite_path, settings, clock),
        kafka=providers.Singleton(build_probes.of_kafka, kafka_connection, settings, clock),
        memory=providers.Singleton(MemoryProbe, memory_broker),
    )
    mail_probe = providers.Singleton(build_probes.of_mail_server, settings, clock)
    sms_probe = providers.Singleton(build_probes.of_sms_provider, settings, clock)
    presence_times = providers.Singleton(PresenceTimes)
    presence = providers.Selector(
        backend,
        sqlite=providers.Singleton(FilePresence, sqlite_path, clock, presence_times),
        kafka=providers.Singleton(build_on_kafka.presence, kafka_connection, settings, clock, presence_times),
        memory=providers.Singleton(MemoryPresence, memory_broker, clock, presence_times),
    )
    group_backlog = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteGroupBacklog, sqlite_path),
        kafka=providers.Singleton(build_on_kafka.backlog, kafka_connection),
        memory=providers.Singleton(MemoryGroupBacklog, memory_broker),
    )
    discard_orders = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteDiscardOrders, sqlite_path),
        kafka=providers.Singleton(build_on_kafka.orders, kafka_connection),
        memory=providers.Singleton(MemoryDiscardOrders, memory_broker),
    )
    # Kafka forgets by itself, and a log in memory is forgotten with its process.
    retention = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteRetention, sqlite_path, topics, clock, dead_letter_days),
        kafka=providers.Object(None),
        memory=providers.Object(None),
    )
    ledger_retention = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteLedgerRetention, sqlite_group_file, topics, clock),
        kafka=providers.Object(None),
        memory=providers.Object(None),
    )
    dead_letter_retention = providers.Selector(
        backend,
        sqlite=providers.Singleton(SqliteDeadLetterRetention, sqlite_group_file, dead_letter_days, clock),
        kafka=providers.Object(None),
        memory=providers.Object(None),
    )

    templates = providers.Singleton(build_channels.templates, settings)
    email_sender = providers.Singleton(build_channels.smtp_sender, settings)
    sms_sender = providers.Singleton(build_channels.http_sms_sender, settings)
    sender = providers.Selector(group, email=email_sender, sms=sms_sender)
    channel = providers.Selector(
        group,
        email=providers.Singleton(build_channels.notify_by_email, email_sender, templates, settings, clock),
        sms=providers.Singleton(NotifyBySms, sms_sender, templates),
    )

    apply_topics = providers.Singleton(
        ApplyTopics,
        topic_catalog,
        topics,
        dead_letter_days,
        providers.Callable(build_on_kafka.presence_topic_of, settings),
    )
    request_ids = providers.Singleton(RequestIds, clock, providers.Singleton(RandomDigits))
    request_decoder = providers.Singleton(RequestDecoder, providers.Object(address_fault), request_ids)
    read_status = providers.Singleton(ReadStatus, status_view, topics)
    read_lags = providers.Singleton(ReadLags, group_lags, topics, clock)
    take_readings = providers.Singleton(TakeReadings, read_lags, presence, clock)
    board = providers.Singleton(Board, take_readings, topics, clock)
    produce_counts = providers.Singleton(ProduceCounts.of, providers.Singleton(_topics_by_name, settings))
    # None where the settings do not ask for it.
    tracer = providers.Singleton(build_tracing.tracer, settings, group)
    produce = providers.Singleton(build_tracing.produce, publisher, settings, produce_counts, tracer)
    delivery_counts = providers.Singleton(DeliveryCounts.of, subscribed)
    engine = providers.Singleton(
        DeliveryEngine,
        log=message_log,
        ledger=ledger,
        orders=discard_orders,
        channel=channel,
        decode=providers.Object(decode_record),
        dead_letters=dead_letters,
        clock=clock,
        policy=retry_policy,
        jitter=jitter,
        topics=providers.Singleton(_topics_by_name, settings),
        options=engine_options,
        counts=delivery_counts,
        end_at_once=providers.Object(end_at_once),
        dispatching=providers.Singleton(build_tracing.dispatching, tracer),
    )
