from collections.abc import Sequence
from pathlib import Path

import pytest

from domain.presence import presence_topic
from entrypoints.settings import SettingsError, load_settings, value_of
from entrypoints.settings_contradictions import is_loopback


def mistakes(*assignments: str) -> Sequence[str]:
    """What is wrong with the settings, without "--set: " and where they came from."""
    try:
        load_settings(None, assignments, {}, Path("/nowhere"))
    except SettingsError as error:
        return [mistake.partition(": ")[2] for mistake in error.mistakes]
    return []


RIGHT = [
    "broker.backend=kafka",
    "broker.backend=memory",
    "broker.dead_letter_days=1",
    "sqlite.path=/var/lib/herald/log.db",
    "kafka.bootstrap_servers=a.example:9092, [::1]:9092,b_c:1",
    "kafka.group_prefix=",
    "api.host=localhost",
    "api.host=::1",
    "api.host=127.8.8.8",
    "api.port=0",
    "api.port=65535",
    "smtp.host=mail.example.com",
    "smtp.tls=starttls",
    "smtp.sender=a@b.example",
    "smtp.sender=root@localhost",
    'smtp.sender="Doe, Jane" <jane@example.com>',
    "smtp.sender=Jörg <joerg@example.com>",
    "smtp.max_per_second=0.5",
    "sms.url=https://api.example.com/twilio",
    "sms.url=http://[::1]:8026",
    "sms.sender=12345",
    "sms.sender=Herald 24",
    "delivery.drain_seconds=0",
    "delivery.max_uncertain=0",
    "status.hours=0",
    "inbox.smtp_port=0",
    "logging.file=",
    "logging.file=/var/log/herald.log",
    "logging.level=error",
    'topics=[{"name": "a.b-c_D9", "partitions": 10000, "groups": ["sms"]}]',
    'topics=[{"name": "a"}, {"name": "b"}]',
    'topics=[{"name": "' + "a" * 230 + '"}]',
]


@pytest.mark.parametrize("assignment", RIGHT)
def test_a_right_value_is_taken(assignment: str) -> None:
    assert mistakes(assignment) == []


WRONG = [
    ("broker.backend=redis", "must be 'sqlite', 'kafka' or 'memory'"),
    ("broker.dead_letter_days=0", "must be greater than or equal to 1"),
    ("sqlite.path=", "must be the path of a file"),
    ("sqlite.path=data/", "must be the path of a file"),
    ("sqlite.path=a\nb", "must not contain control characters"),
    ("kafka.bootstrap_servers=", "must be host:port, or several with commas between them"),
    ("kafka.bootstrap_servers=a:9092,", "must be host:port, or several with commas between them"),
    ("kafka.bootstrap_servers=a:0", "must be host:port, or several with commas between them"),
    ("kafka.bootstrap_servers=a:65536", "must be host:port, or several with commas between them"),
    ("kafka.security_protocol=TLS", "must be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
    ("api.host=", "must be a host name or an IP address"),
    ("api.host=a b", "must be a host name or an IP address"),
    ("api.port=-1", "must be greater than or equal to 0"),
    ("api.port=65536", "must be less than or equal to 65535"),
    ("api.publish_timeout_seconds=0", "must be greater than 0"),
    ("api.max_body_bytes=0", "must be greater than or equal to 1"),
    ("api.max_batch_bytes=0", "must be greater than or equal to 1"),
    ("api.max_batch_messages=0", "must be greater than or equal to 1"),
    ("smtp.port=0", "must be greater than or equal to 1"),
    ("smtp.connections=0", "must be greater than or equal to 1"),
    ("smtp.max_per_second=-1", "must be greater than or equal to 0"),
    ("smtp.max_per_second=nan", "must be a finite number"),
    ("smtp.sender=A\r\nBcc: b@b.example <a@b.example>", "must not contain control characters"),
    (
        "sms.sender=",
        "must be a number such as +15005550006, a short code or a name of up to 11 letters and digits",
    ),
    ("sms.account_sid=a/b", "must be letters and digits"),
    ("delivery.concurrency=0", "must be greater than or equal to 1"),
    ("delivery.max_attempts=0", "must be greater than or equal to 1"),
    ("delivery.drain_seconds=-1", "must be greater than or equal to 0"),
    ("delivery.first_retry_seconds=0", "must be greater than 0"),
    ("delivery.max_retry_seconds=0.5", "must not be below delivery.first_retry_seconds"),
    ("status.messages=0", "must be greater than or equal to 1"),
    ("inbox.keep=0", "must be greater than or equal to 1"),
    ("logging.level=LOUD", "must be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'"),
    ("logging.file={pid}.log", "must be the path of a file, in which only {process} is filled in, or empty"),
    ("logging.file={process", "must be the path of a file, in which only {process} is filled in, or empty"),
    ("logging.file=logs/", "must be the path of a file, in which only {process} is filled in, or empty"),
    ("logging.rotate_bytes=0", "must be greater than or equal to 1024"),
    ("logging.rotate_backups=0", "must be greater than or equal to 1"),
]


@pytest.mark.parametrize(("assignment", "fault"), WRONG)
def test_a_wrong_value_is_refused_with_what_would_be_right(assignment: str, fault: str) -> None:
    name = assignment.partition("=")[0]

    assert mistakes(assignment) == [f"{name} {fault}"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "http://",
        "http://a:x",
        "http://a:0",
        "http://a:99999",
        "http://[::1",
        "http://a b",
        "http://user:pass@a",
        "http://a?x=1",
        "http://a#x",
    ],
)
def test_a_provider_s_address_is_a_plain_url(url: str) -> None:
    assert mistakes(f"sms.url={url}") == [
        "sms.url must be a URL such as https://api.example.com, without user, query and fragment"
    ]


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "Herald",
        ".a@example.com",
        "a..b@example.com",
        "a.@example.com",
        "a@.com",
        "a@example..com",
        "a@-example.com",
        "A <a@example.com> b",
        "A <a@example.com",
        "A a@example.com",
        "a@example.com, b@example.com",
        "a@[127.0.0.1]",
        "jörg@example.com",
    ],
)
def test_a_sender_is_one_address_with_or_without_a_name(sender: str) -> None:
    assert mistakes(f"smtp.sender={sender}") == [
        "smtp.sender must be an address such as no-reply@example.com, or Name <no-reply@example.com>"
    ]


@pytest.mark.parametrize(
    ("topic", "fault"),
    [
        ('{"name": ""}', "topics.0.name must be 1 to 230 of A-Z a-z 0-9 . _ - and not . or .."),
        ('{"name": ".."}', "topics.0.name must be 1 to 230 of A-Z a-z 0-9 . _ - and not . or .."),
        ('{"name": "a/b"}', "topics.0.name must be 1 to 230 of A-Z a-z 0-9 . _ - and not . or .."),
        ('{"name": "a\\n"}', "topics.0.name must be 1 to 230 of A-Z a-z 0-9 . _ - and not . or .."),
        (
            '{"name": "' + "a" * 231 + '"}',
            "topics.0.name must be 1 to 230 of A-Z a-z 0-9 . _ - and not . or ..",
        ),
        (
            '{"name": "__consumer_offsets"}',
            "topics.0.name must not begin with __: such topics are Kafka's own",
        ),
        ('{"name": "t", "partitions": 0}', "topics.0.partitions must be greater than or equal to 1"),
        ('{"name": "t", "partitions": 10001}', "topics.0.partitions must be less than or equal to 10000"),
        ('{"name": "t", "partitions": "6"}', "topics.0.partitions must be a valid integer"),
        (
            '{"name": "t", "replication_factor": -1}',
            "topics.0.replication_factor must be greater than or equal to 0",
        ),
        (
            '{"name": "t", "retention_hours": 0}',
            "topics.0.retention_hours must be greater than or equal to 1",
        ),
        ('{"name": "t", "start": "now"}', "topics.0.start must be 'beginning' or 'end'"),
        ('{"name": "t", "groups": []}', "topics.0.groups must name one or more of email, sms, each once"),
        (
            '{"name": "t", "groups": ["sms", "sms"]}',
            "topics.0.groups must name one or more of email, sms, each once",
        ),
    ],
)
def test_a_wrong_topic_is_refused(topic: str, fault: str) -> None:
    assert mistakes(f"topics=[{topic}]") == [fault]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("a.b", "a_b"),
        ("a", "a.email.dead-letters"),
        ("a", "a.sms.ledger"),
        ("a_email_deferred", "a"),
    ],
)
def test_topics_that_would_need_the_same_name_are_refused(one: str, two: str) -> None:
    (fault,) = mistakes(f'topics=[{{"name": "{one}"}}, {{"name": "{two}"}}]')

    assert fault == f"topics {two} needs a topic that {one} has taken"


def test_a_topic_that_is_named_twice_is_told_once() -> None:
    faults = mistakes('topics=[{"name": "a"}, {"name": "b"}, {"name": "a"}, {"name": "a"}]')

    assert faults == ["topics a is named more than once"]


SASL = ("kafka.sasl_mechanism=PLAIN", "kafka.sasl_username=u", "kafka.sasl_password=p")
CLIENT_CERTIFICATE = ("kafka.ssl_cert_file=c", "kafka.ssl_key_file=k", "kafka.ssl_key_password=p")


@pytest.mark.parametrize(
    "assignments",
    [
        ("api.host=0.0.0.0", "api.anonymous=true"),
        ("api.host=0.0.0.0", "api.keys_file=keys"),
        ("api.host=0.0.0.0", "api.keys=shop 00 *; till 11 a"),
        ("api.keys=shop 00 *\n# till\n",),
        ("smtp.username=u", "smtp.password=p"),
        ("kafka.security_protocol=SASL_PLAINTEXT", *SASL),
        ("kafka.security_protocol=SASL_SSL", *SASL, "kafka.ssl_ca_file=ca"),
        ("kafka.security_protocol=SSL", *CLIENT_CERTIFICATE),
        ("kafka.security_protocol=SSL", "kafka.ssl_check_hostname=true"),
        ("kafka.security_protocol=SSL", "kafka.ssl_ca_file=ca", "kafka.ssl_check_hostname=false"),
    ],
)
def test_settings_that_fit_together_are_taken(assignments: tuple[str, ...]) -> None:
    assert mistakes(*assignments) == []


@pytest.mark.parametrize(
    ("assignments", "faults"),
    [
        (
            ("api.host=0.0.0.0",),
            ["api.host is beyond loopback: set api.keys_file, or api.anonymous = true to ask for no keys"],
        ),
        (
            ("api.host=herald.example.com",),
            ["api.host is beyond loopback: set api.keys_file, or api.anonymous = true to ask for no keys"],
        ),
        (
            ("api.keys_file=keys", "api.keys=shop 00 *"),
            ["api.keys is given beside api.keys_file: give one of them"],
        ),
        (
            ("kafka.security_protocol=SSL", "kafka.ssl_check_hostname=false"),
            ["kafka.ssl_check_hostname may be false only with kafka.ssl_ca_file"],
        ),
        (("smtp.password=p",), ["smtp.password is of no use without smtp.username"]),
        (("smtp.username=u",), ["smtp.username needs smtp.password"]),
        (
            ("kafka.security_protocol=SASL_SSL",),
            [
                "kafka.sasl_mechanism is required with SASL_SSL",
                "kafka.sasl_password is required with SASL_SSL",
                "kafka.sasl_username is required with SASL_SSL",
            ],
        ),
        (
            SASL,
            [
                "kafka.sasl_mechanism is of no use without SASL_PLAINTEXT or SASL_SSL",
                "kafka.sasl_password is of no use without SASL_PLAINTEXT or SASL_SSL",
                "kafka.sasl_username is of no use without SASL_PLAINTEXT or SASL_SSL",
            ],
        ),
        (("kafka.ssl_ca_file=ca",), ["kafka.ssl_ca_file is of no use without SSL or SASL_SSL"]),
        (
            ("kafka.security_protocol=SSL", "kafka.ssl_cert_file=c"),
            ["kafka.ssl_cert_file needs kafka.ssl_key_file"],
        ),
        (
            ("kafka.security_protocol=SSL", "kafka.ssl_key_file=k"),
            ["kafka.ssl_key_file needs kafka.ssl_cert_file"],
        ),
        (
            ("kafka.security_protocol=SSL", "kafka.ssl_key_password=p"),
            ["kafka.ssl_key_password needs kafka.ssl_key_file"],
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    assignments: tuple[str, ...], faults: list[str]
) -> None:
    assert mistakes(*assignments) == faults


def test_a_contradiction_is_looked_for_beside_other_mistakes() -> None:
    assert mistakes("smtp.port=0", "api.host=0.0.0.0")[1].startswith("api.host is beyond loopback")


def test_a_mistake_is_not_told_again_as_a_contradiction() -> None:
    assert mistakes("api.host=0.0.0.0", "api.anonymous=maybe") == ["api.anonymous must be true or false"]
    assert mistakes("smtp.username=u", "smtp.password=\x00") == [
        "smtp.password must not contain control characters"
    ]
    assert mistakes("api.keys=a\n\x00b") == ["api.keys must not contain control characters"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.1", "::1"])
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example.com"])
def test_what_others_may_reach_is_known(host: str) -> None:
    assert not is_loopback(host)


def test_a_level_is_kept_in_capitals() -> None:
    loaded = load_settings(None, ["logging.level=warning"], {}, Path("/nowhere"))

    assert value_of(loaded.settings, "logging.level") == "WARNING"


def test_a_topic_must_not_be_the_one_in_which_processes_tell_of_themselves() -> None:
    topic = 'topics=[{"name": "herald-presence"}]'

    assert mistakes(topic) == []
    assert mistakes(topic, "broker.backend=kafka") == [
        "topics herald-presence needs a topic that kafka.group_prefix has taken"
    ]


def test_any_prefix_of_groups_gives_a_topic_that_kafka_takes() -> None:
    assert presence_topic("herald-") == "herald-presence"
    assert presence_topic("team a/") == "team_a_5f16e5d3-presence"
    assert presence_topic("team/a") != presence_topic("team a")
    assert len(presence_topic("x" * 500)) <= 249
