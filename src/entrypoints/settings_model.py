"""Every setting with its type, its default and one line on what it is for.

The shapes only: where values come from is `settings_sources`, which values contradict each other is
`settings_contradictions`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from domain.topic import Topic
from entrypoints import settings_rules as rules
from entrypoints.settings_topics import TopicSettings
from entrypoints.settings_types import (
    Count,
    CountOrNone,
    Host,
    Level,
    Line,
    ListenPort,
    Port,
    Rate,
    Seconds,
    SecondsOrNone,
    Secret,
    Section,
)


class Broker(Section):
    """Where messages are kept."""

    backend: Literal["sqlite", "kafka", "memory"] = Field(
        default="sqlite", description="The log (memory: tests only)"
    )
    dead_letter_days: Annotated[int, Field(ge=1, le=36500)] = Field(
        default=90, description="How long dead letters are kept"
    )


class Sqlite(Section):
    """The embedded log on one machine."""

    path: Annotated[str, AfterValidator(rules.file_path)] = Field(
        default="data/herald.db", description="The log's file; beside it {its name}.{group}.db for each group"
    )


class Kafka(Section):
    """The log on Apache Kafka."""

    bootstrap_servers: Annotated[str, AfterValidator(rules.servers)] = Field(
        default="127.0.0.1:9092", description="Brokers to begin with: host:port, comma-separated"
    )
    group_prefix: Annotated[str, AfterValidator(rules.line)] = Field(
        default="herald-", description="Before a group's name: Kafka's group.id is herald-email, herald-sms"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How the brokers are spoken to"
    )
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="", description="With SASL_PLAINTEXT and SASL_SSL"
    )
    sasl_username: Line = Field(default="", description="With SASL_PLAINTEXT and SASL_SSL")
    sasl_password: Secret = Field(default=SecretStr(""), description="With SASL_PLAINTEXT and SASL_SSL")
    ssl_ca_file: Line = Field(
        default="", description="PEM file of the authorities to trust; empty: the system's"
    )
    ssl_cert_file: Line = Field(default="", description="PEM file of the client's certificate")
    ssl_key_file: Line = Field(default="", description="PEM file of the client's key")
    ssl_key_password: Secret = Field(default=SecretStr(""), description="Of the client's key")
    ssl_check_hostname: bool = Field(
        default=True,
        description="False: the name on a broker's certificate does not count, only that ssl_ca_file's "
        "authority gave it",
    )


class Api(Section):
    """The produce API."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on")
    port: ListenPort = Field(default=8080, description="Port to listen on; 0: any free one")
    workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="Processes that share the port"
    )
    keys_file: Line = Field(
        default="",
        description="A line each: name, SHA-256 of the key in hex, topics (comma-separated, or *); "
        "# begins a comment; empty: no keys are asked for",
    )
    keys: Annotated[SecretStr, AfterValidator(rules.lines)] = Field(
        default=SecretStr(""),
        description="The lines themselves instead of their file, parted by ; or line breaks: for platforms "
        "that give a process an environment and no files",
    )
    anonymous: bool = Field(default=False, description="Must be true to listen beyond loopback without keys")
    publish_timeout_seconds: Seconds = Field(default=8, description="How long a request waits for the log")
    max_body_bytes: Count = Field(default=65536, description="Largest request")
    max_batch_bytes: Count = Field(default=8388608, description="Largest batch request")
    max_batch_messages: Count = Field(default=10000, description="Most messages in a batch")
    max_waiting_bytes: Count = Field(
        default=33554432,
        description="Bodies held at once by one worker, from first byte to answer; beyond it 503. Each byte "
        "takes up to 4 in memory: see docs/memory.md",
    )

    def asks_for_keys(self) -> bool:
        return bool(self.keys_file or self.keys.get_secret_value())


class Smtp(Section):
    """The mail server."""

    host: Host = Field(default="127.0.0.1", description="Its name or address")
    port: Port = Field(default=1025, description="Its port")
    tls: Literal["none", "starttls", "tls"] = Field(
        default="none", description="How the connection is encrypted"
    )
    username: Line = Field(default="", description="Empty: no login")
    password: Secret = Field(default=SecretStr(""), description="Of that user")
    sender: Annotated[str, AfterValidator(rules.mail_sender)] = Field(
        default="Herald <no-reply@herald.localhost>", description="From: an address, or Name <address>"
    )
    connections: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=16,
        description="Most at once; none is used again after 100 mails, 300 s, or 20 s idle",
    )
    timeout_seconds: Seconds = Field(default=10, description="For connecting and for each command")
    data_timeout_seconds: Seconds = Field(
        default=60, description="For the answer to the final dot; too short a wait sends the mail twice"
    )
    max_per_second: Rate = Field(
        default=0, description="Most mails a second of one consumer process; 0: no cap"
    )


class Sms(Section):
    """The SMS provider."""

    url: Annotated[str, AfterValidator(rules.http_url)] = Field(
        default="http://127.0.0.1:8026", description="A Twilio-compatible Messages API is below it"
    )
    account_sid: Annotated[str, AfterValidator(rules.account)] = Field(
        default="AC00000000000000000000000000000000", description="The account"
    )
    auth_token: Secret = Field(default=SecretStr("local"), description="The account's secret")
    sender: Annotated[str, AfterValidator(rules.text_sender)] = Field(
        default="+15005550006",
        description="From: a number, a short code or a name of up to 11 letters and digits",
    )
    connections: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=32, description="Most at once; none is used again after 4 s idle"
    )
    timeout_seconds: Seconds = Field(default=10, description="For connecting and for the answer")
    max_per_second: Rate = Field(
        default=0, description="Most texts a second of one consumer process; 0: no cap"
    )


class Delivery(Section):
    """How messages are tried, and tried again."""

    concurrency: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=64, description="Messages in flight in one consumer process"
    )
    max_attempts: Count = Field(
        default=50, description="Tries of one message; those while the channel is down do not count"
    )
    max_uncertain: CountOrNone = Field(
        default=3, description="Times one message is sent again after its answer was lost; 0: never"
    )
    first_retry_seconds: Seconds = Field(
        default=1.0, description="First wait; doubles, and each is drawn between half and all of the step"
    )
    max_retry_seconds: Seconds = Field(default=3600.0, description="Longest wait")
    drain_seconds: SecondsOrNone = Field(
        default=20, description="How long a stop or a rebalance waits for what is in flight"
    )
    dedupe_messages: CountOrNone = Field(
        default=100_000, description="Sent messages remembered for each partition, in 51 bytes each"
    )


class Status(Section):
    """The view of what became of messages."""

    hours: CountOrNone = Field(
        default=24,
        description="How far back a message's status can be asked on Kafka; 0: off",
    )
    messages: Count = Field(default=1_000_000, description="And how many at the most")


class Consumer(Section):
    """Health and metrics of a consumer process."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on")
    port: ListenPort = Field(
        default=0, description="Port to listen on; 0: any free one, named in the consumer's start line"
    )


class Inbox(Section):
    """The local mail server and SMS provider. `herald run` starts it when [smtp] or [sms] points at it."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on")
    smtp_port: ListenPort = Field(default=1025, description="The mail server's port; 0: any free one")
    sms_port: ListenPort = Field(default=8026, description="The SMS provider's port; 0: any free one")
    http_port: ListenPort = Field(default=8025, description="Port of the page and its JSON; 0: any free one")
    keep: Count = Field(default=10_000, description="Newest mails and texts held, in memory")


class Templates(Section):
    """What mails and texts say."""

    directory: Line = Field(
        default="",
        description="Empty: built in; else a folder with email.subject.txt, email.text.txt, email.html, "
        "sms.txt (Jinja2), and the same in a folder named for a topic",
    )


class Logging(Section):
    """Log files: JSON lines, one file for each process."""

    level: Level = Field(default="INFO", description="The least that is logged")
    file: Annotated[str, AfterValidator(rules.log_file)] = Field(
        default="logs/herald-{process}.log",
        description="{process} is api, consumer-email, …; a second one of a name gets -2; empty: stderr only",
    )
    rotate_bytes: Annotated[int, Field(ge=1024, le=2**53)] = Field(
        default=52_428_800, description="A larger file is set aside and a new one begun"
    )
    rotate_backups: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=10, description="Files set aside that are kept"
    )


class Tracing(Section):
    """Traces of messages, from the request to the provider's answer; see docs/watching.md."""

    enabled: bool = Field(
        default=False,
        description="Send spans by OpenTelemetry, which requirements-tracing.txt installs. Where to, and how "
        "many, its own variables say, such as OTEL_EXPORTER_OTLP_ENDPOINT",
    )


class Settings(Section):
    """All settings; `Settings()` holds the defaults. Made from the outside by `settings.load_settings`."""

    broker: Broker = Broker()
    sqlite: Sqlite = Sqlite()
    kafka: Kafka = Kafka()
    api: Api = Api()
    smtp: Smtp = Smtp()
    sms: Sms = Sms()
    delivery: Delivery = Delivery()
    status: Status = Status()
    consumer: Consumer = Consumer()
    inbox: Inbox = Inbox()
    templates: Templates = Templates()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()
    topics: Annotated[tuple[TopicSettings, ...], Field(strict=False), AfterValidator(rules.some)] = (
        TopicSettings(name="transactions"),
    )

    def configured_topics(self) -> tuple[Topic, ...]:
        """The topics as the domain knows them."""
        return tuple(topic.topic() for topic in self.topics)
