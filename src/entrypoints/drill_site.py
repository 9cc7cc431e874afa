"""Where a drill runs: a folder, settings of its own, and Herald's processes in it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from entrypoints.drill_plan import GROUPS
from entrypoints.drill_providers import HOST
from entrypoints.settings_model import Delivery, Settings
from entrypoints.supervised_child import ChildSpec

# What a drill takes over from the settings in force: how to reach the brokers, and how to deliver.
_TAKEN_OVER = ("kafka", "delivery")
_AT_LEAST = ("max_attempts", "max_uncertain", "dedupe_messages")
_AT_MOST = ("first_retry_seconds",)
_PARTITIONS = 6
_SQLITE_TOPIC = "drill"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSite:
    """Whose processes run where.

    `name`: of the topic, and before each group's name on Kafka. `program` starts Herald; `consumer` starts
    a consumer: the same, unless a test has a broken one. `is_kept`: the folder stays.
    """

    folder: Path
    is_kept: bool
    name: str
    settings: Settings
    program: Sequence[str]
    consumer: Sequence[str]

    @property
    def on_kafka(self) -> bool:
        return self.settings.broker.backend == "kafka"

    @property
    def log(self) -> str:
        """Where the messages are kept, as a person says it."""
        if not self.on_kafka:
            return f"SQLite in {self.folder if self.is_kept else 'a temporary folder'}"
        return f"Kafka at {self.settings.kafka.bootstrap_servers}, topic and groups {self.name}"

    def processes(self, environ: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, ChildSpec]:
        """The API and a consumer for each group, by name. `environ`: this process's; `ports`: the providers'.

        Settings go by environment, so that no secret is written to a file or seen among the processes.
        """
        inherited = {name: value for name, value in environ.items() if not name.startswith("HERALD_")}
        variables = {**inherited, **self._variables(ports)}
        commands = {
            "api": [*self.program, "api"],
            **{group: [*self.consumer, "consumer", group] for group in GROUPS},
        }
        return {
            name: ChildSpec(
                name=name if name == "api" else f"consumer-{name}",
                command=tuple(command),
                environ=variables,
                directory=self.folder,
            )
            for name, command in commands.items()
        }

    def _variables(self, ports: Mapping[str, int]) -> dict[str, str]:
        values = {
            f"{section}.{field}": _text(value)
            for section in _TAKEN_OVER
            for field, value in getattr(self.settings, section)
        }
        values |= _patient(self.settings.delivery)
        values |= {
            "broker.backend": "kafka" if self.on_kafka else "sqlite",
            "sqlite.path": "data/herald.db",
            "kafka.group_prefix": f"{self.name}-",
            "api.port": "0",
            "smtp.host": HOST,
            "smtp.port": str(ports["email"]),
            "sms.url": f"http://{HOST}:{ports['sms']}",
            "topics": json.dumps([{"name": self.name, "partitions": _PARTITIONS, "retention_hours": 24}]),
        }
        return {_variable(name): value for name, value in values.items()}


def _patient(given: Delivery) -> dict[str, str]:
    """How to deliver, where what the drill does on purpose is not given up and not put off for long.

    It turns recipients away many times: with a single attempt each would be counted as lost.
    """
    usual = Delivery()
    at_least = {name: max(getattr(given, name), getattr(usual, name)) for name in _AT_LEAST}
    at_most = {name: min(getattr(given, name), getattr(usual, name)) for name in _AT_MOST}
    return {f"delivery.{name}": str(value) for name, value in (at_least | at_most).items()}


def topic_name(settings: Settings) -> str:
    """One that nobody else on the brokers has."""
    if settings.broker.backend != "kafka":
        return _SQLITE_TOPIC
    return f"herald-drill-{os.urandom(4).hex()}"


def _variable(name: str) -> str:
    return f"HERALD_{name.upper().replace('.', '__')}"


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
