"""The AsyncAPI 3 document of the topics: what lies in them, for whoever reads or writes them, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters import kafka_letters
from domain.dead_letter import FOR_GROUP, REPLAY, REQUEST_ID
from domain.outcome import DeadLetterReason
from domain.topic import Topic, dead_letter_topic
from entrypoints.openapi_schemas import schemas
from entrypoints.settings_model import Kafka, Settings

Json = dict[str, Any]

_BINDINGS = "0.5.0"
_TEXT: Json = {"type": "string"}
_DIGITS: Json = {"type": "string", "pattern": "^[0-9]+$"}
_TIME: Json = {"type": "string", "format": "date-time"}
_MS_AN_HOUR = 3_600_000
_SECURITY = {
    "PLAIN": {"type": "plain"},
    "SCRAM-SHA-256": {"type": "scramSha256"},
    "SCRAM-SHA-512": {"type": "scramSha512"},
}
_ON_KAFKA = "Messages and dead letters of Herald, as they lie in Kafka."
_ELSEWHERE = (
    "Messages and dead letters of Herald, as they lie in its embedded log. There is no server to connect to: "
    "messages come in by the HTTP API, and files are read as docs/reference/topics.md says."
)


@dataclass(frozen=True, slots=True)
class _Documented:
    """One topic on its way into the document."""

    topic: Topic
    group_prefix: str
    dead_letter_days: int


def asyncapi_document(version: str, settings: Settings) -> Json:
    """Of the topics that these settings name. Herald is the application: it sends what others receive."""
    on_kafka = settings.broker.backend == "kafka"
    prefix, days = settings.kafka.group_prefix, settings.broker.dead_letter_days
    documented = [_Documented(topic, prefix, days) for topic in settings.configured_topics()]
    document: Json = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Herald's topics",
            "version": version,
            "description": _ON_KAFKA if on_kafka else _ELSEWHERE,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: channel for one in documented for name, channel in _channels(one).items()},
        "operations": {name: act for one in documented for name, act in _operations(one).items()},
        "components": _components([one.topic.name for one in documented]),
    }
    if on_kafka:
        document["servers"] = _servers(settings.kafka)
        document["components"]["securitySchemes"] = _security_schemes(settings.kafka)
    return document


# Where ---------------------------------------------------------------------------------------------


def _servers(kafka: Kafka) -> Json:
    secure = kafka.security_protocol in {"SSL", "SASL_SSL"}
    server: Json = {
        "protocol": "kafka-secure" if secure else "kafka",
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _security_schemes(kafka)],
    }
    hosts = [host.strip() for host in kafka.bootstrap_servers.split(",")]
    return {f"broker-{number}": {"host": host, **server} for number, host in enumerate(hosts, 1)}


def _security_schemes(kafka: Kafka) -> Json:
    if kafka.security_protocol.startswith("SASL"):
        return {"login": _SECURITY[kafka.sasl_mechanism or "PLAIN"]}
    return {"certificate": {"type": "X509"}} if kafka.ssl_cert_file else {}


# Channels and who acts on them ---------------------------------------------------------------------


def _channels(one: _Documented) -> Json:
    topic = one.topic
    kept_ms = topic.retention_hours * _MS_AN_HOUR
    source = {
        "address": topic.name,
        "title": f"Messages of {topic.name}",
        "description": "A key's messages are in order. Others than Herald may write here, too.",
        "messages": {"notification": _message("Notification")},
        "bindings": _bound(topic, topic.name, topic.partitions, kept_ms),
    }
    return {topic.name: source} | {
        dead_letter_topic(topic.name, group): _dead_letters(one, group) for group in topic.groups
    }


def _dead_letters(one: _Documented, group: str) -> Json:
    name = dead_letter_topic(one.topic.name, group)
    return {
        "address": name,
        "title": f"What {group} could not deliver of {one.topic.name}",
        "description": "To be read by all and written by Herald alone.",
        "messages": {"letter": _message("DeadLetter"), "note": _message("ReplayNote")},
        "bindings": _bound(one.topic, name, 1, one.dead_letter_days * 24 * _MS_AN_HOUR),
    }


def _bound(topic: Topic, name: str, partitions: int, kept_ms: int) -> Json:
    kafka: Json = {
        "topic": name,
        "partitions": partitions,
        "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": kept_ms},
        "bindingVersion": _BINDINGS,
    }
    if topic.replication_factor:  # 0 leaves it to the brokers
        kafka["replicas"] = topic.replication_factor
    return {"kafka": kafka}


def _operations(one: _Documented) -> Json:
    name = one.topic.name
    acts = {f"accept.{name}": _act("send", name, "What the API accepted", "notification")}
    for group in one.topic.groups:
        deliver = _act("receive", name, f"Delivered by {group}", "notification")
        group_id = {"type": "string", "enum": [one.group_prefix + group]}
        deliver["bindings"] = {"kafka": {"groupId": group_id, "bindingVersion": _BINDINGS}}
        acts[f"deliver.{name}.{group}"] = deliver
        letters = dead_letter_topic(name, group)
        acts[f"bury.{name}.{group}"] = _act("send", letters, f"Given up by {group}", "letter", "note")
    return acts


def _act(action: str, channel: str, summary: str, *messages: str) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"} for message in messages],
    }


def _message(name: str) -> Json:
    return {"$ref": f"#/components/messages/{name}"}


# What lies in them ---------------------------------------------------------------------------------


def _components(topics: Sequence[str]) -> Json:
    return {
        "schemas": {
            "Notification": _notification(topics),
            "SourceHeaders": _source_headers(),
            "LetterHeaders": _letter_headers(),
            "NoteHeaders": _note_headers(),
        },
        "messages": {
            "Notification": _described(
                "One message to one customer", "Notification", "SourceHeaders", _key("Of `key`, or null.")
            ),
            "DeadLetter": {
                "title": "A message that could not be delivered",
                "description": "The original record, byte for byte, whatever it was; headers are added.",
                "headers": _schema("LetterHeaders"),
                "payload": {},
                "bindings": _key("The original's."),
            },
            "ReplayNote": {
                "title": "That a dead letter was sent again",
                "headers": _schema("NoteHeaders"),
                "payload": {"type": "null"},
                "bindings": {"kafka": {"key": {"type": "null"}, "bindingVersion": _BINDINGS}},
            },
        },
    }


def _described(title: str, payload: str, headers: str, bindings: Json) -> Json:
    return {
        "title": title,
        "contentType": "application/json",
        "headers": _schema(headers),
        "payload": _schema(payload),
        "bindings": bindings,
    }


def _key(description: str) -> Json:
    key = {"type": ["string", "null"], "description": description}
    return {"kafka": {"key": key, "bindingVersion": _BINDINGS}}


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _notification(topics: Sequence[str]) -> Json:
    """The fields of the API's own rules; others than Herald may leave out more and add others."""
    fields = dict(schemas(topics)["Message"]["properties"])
    del fields["partition"]
    fields["topic_name"] = {"type": "string", "description": "For people: a record is of the topic it is in."}
    request_id = "Filled in by Herald; of another's record without it {topic}-{partition}-{offset}."
    fields["request_id"] = {**fields["request_id"], "description": request_id}
    return {
        "type": "object",
        "description": "The fields that were given. Unknown ones are passed over.",
        "properties": fields,
    }


def _source_headers() -> Json:
    return _headers(
        {
            "content-type": {"type": "string", "const": "application/json"},
            "traceparent": {**_TEXT, "description": "W3C Trace Context."},
            "tracestate": _TEXT,
            FOR_GROUP: {**_TEXT, "description": "Of a replay: the one group that takes it."},
            REPLAY: {**_DIGITS, "description": "Of a replay: the how manieth."},
            REQUEST_ID: {**_TEXT, "description": "Of a replay: holds before the one in the payload."},
        }
    )


def _letter_headers() -> Json:
    own = {
        kafka_letters.REASON: {"type": "string", "enum": [reason.value for reason in DeadLetterReason]},
        kafka_letters.ERROR: {**_TEXT, "description": "Without addresses and numbers."},
        kafka_letters.ATTEMPTS: _DIGITS,
        **_place(),
    }
    return {**_headers({**_source_headers()["properties"], **own}), "required": list(own)}


def _note_headers() -> Json:
    own = {**_place(), kafka_letters.REPLAYED_BY: _TEXT, kafka_letters.REPLAYED: _TIME}
    return {**_headers(own), "required": list(own)}


def _place() -> Json:
    """Where the original was, and when it was given up."""
    return {
        kafka_letters.TOPIC: _TEXT,
        kafka_letters.PARTITION: _DIGITS,
        kafka_letters.OFFSET: _DIGITS,
        kafka_letters.FAILED_AT: _TIME,
    }


def _headers(properties: Json) -> Json:
    return {"type": "object", "description": "Each is UTF-8 text.", "properties": properties}
