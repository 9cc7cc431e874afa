"""Herald's settings for a measurement: the defaults, but for where the log is and the topic's name."""

from dataclasses import dataclass
from pathlib import Path

from containers import Container
from entrypoints.settings_model import Settings

GROUP = "email"
PARTITIONS = 6
KEYS = 1_000  # recurring, and more than are in flight at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`log`: sqlite, kafka or memory. `folder`: for SQLite's files and for logs. `kafka`: its address."""

    log: str
    topic: str
    folder: str = ""
    kafka: str = ""
    concurrency: int = 64
    partitions: int = PARTITIONS

    @property
    def database(self) -> Path:
        return Path(self.folder) / f"{self.topic}.db"

    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "broker": {"backend": self.log},
                "sqlite": {"path": str(self.database)},
                "kafka": {"bootstrap_servers": self.kafka, "group_prefix": f"{self.topic}-"}
                if self.kafka
                else {},
                "delivery": {"concurrency": self.concurrency},
                "logging": {"file": str(Path(self.folder) / f"{self.topic}-{{process}}.log")},
                "topics": [{"name": self.topic, "partitions": self.partitions, "groups": [GROUP]}],
            }
        )

    def container(self) -> Container:
        return Container(settings=self.settings(), group=GROUP)
