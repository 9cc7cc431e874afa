"""Which settings contradict each other, though each alone is right."""

from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from pydantic import SecretStr

from domain.channels import GROUPS
from domain.presence import presence_topic
from entrypoints.settings_model import Kafka, Settings
from entrypoints.settings_topics import TopicSettings


def is_loopback(name: str) -> bool:
    """Whether only this machine can reach what listens on `name`."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


Contradiction = tuple[tuple[str, ...], str]
"""The settings that it is about, the first of which is to blame, and what is wrong with that one."""


def contradictions(settings: Settings) -> Iterator[Contradiction]:
    """What is wrong although each value alone is right."""
    api, smtp, delivery = settings.api, settings.smtp, settings.delivery
    if not is_loopback(api.host) and not api.asks_for_keys() and not api.anonymous:
        fields = ("api.host", "api.keys_file", "api.keys", "api.anonymous")
        yield fields, "is beyond loopback: set api.keys_file, or api.anonymous = true to ask for no keys"
    if api.keys_file and api.keys.get_secret_value():
        yield ("api.keys", "api.keys_file"), "is given beside api.keys_file: give one of them"
    if smtp.password.get_secret_value() and not smtp.username:
        yield ("smtp.password", "smtp.username"), "is of no use without smtp.username"
    if smtp.username and not smtp.password.get_secret_value():
        yield ("smtp.username", "smtp.password"), "needs smtp.password"
    if delivery.max_retry_seconds < delivery.first_retry_seconds:
        names = ("delivery.max_retry_seconds", "delivery.first_retry_seconds")
        yield names, "must not be below delivery.first_retry_seconds"
    yield from _kafka_contradictions(settings.kafka)
    own = presence_topic(settings.kafka.group_prefix) if settings.broker.backend == "kafka" else ""
    yield from _topic_contradictions(settings.topics, own)


def _kafka_contradictions(kafka: Kafka) -> Iterator[Contradiction]:
    protocol = ("kafka.security_protocol",)
    given = {name for name, value in kafka if _is_given(value) and name != "ssl_check_hostname"}
    with_sasl = {"sasl_mechanism", "sasl_username", "sasl_password"}
    if kafka.security_protocol.startswith("SASL_"):
        for name in sorted(with_sasl - given):
            yield (f"kafka.{name}", *protocol), f"is required with {kafka.security_protocol}"
    else:
        for name in sorted(with_sasl & given):
            yield (f"kafka.{name}", *protocol), "is of no use without SASL_PLAINTEXT or SASL_SSL"
    if not kafka.security_protocol.endswith("SSL"):
        for name in sorted(name for name in given if name.startswith("ssl_")):
            yield (f"kafka.{name}", *protocol), "is of no use without SSL or SASL_SSL"
    if not kafka.ssl_check_hostname and "ssl_ca_file" not in given:
        # Any certificate of a public authority would do, whoever it was given to.
        yield ("kafka.ssl_check_hostname", "kafka.ssl_ca_file"), "may be false only with kafka.ssl_ca_file"
    for name, other in (
        ("ssl_cert_file", "ssl_key_file"),
        ("ssl_key_file", "ssl_cert_file"),
        ("ssl_key_password", "ssl_key_file"),
    ):
        if name in given and other not in given:
            yield (f"kafka.{name}", f"kafka.{other}"), f"needs kafka.{other}"


def _is_given(value: object) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _topic_contradictions(topics: Sequence[TopicSettings], own: str) -> Iterator[Contradiction]:
    """`own`: the topic of Herald's that stands beside none of them; "": there is none."""
    counts = Counter(topic.name for topic in topics)
    for name in (name for name, count in counts.items() if count > 1):
        yield ("topics",), f"{name} is named more than once"
    taken = {own.replace(".", "_"): "kafka.group_prefix"} if own else {}
    for topic in counts:
        # Kafka takes . and _ for the same in its metrics and refuses the second of such a pair.
        names = [name.replace(".", "_") for name in (topic, *_own_topics(topic))]
        others = {taken.setdefault(name, topic) for name in names} - {topic}
        if others:
            yield ("topics",), f"{topic} needs a topic that {', '.join(sorted(others))} has taken"


def _own_topics(name: str) -> list[str]:
    """Herald's own topics beside one, of every group that may subscribe later."""
    kinds = ("ledger", "deferred", "dead-letters", "control")
    return [f"{name}.{group}.{kind}" for group in GROUPS for kind in kinds]
