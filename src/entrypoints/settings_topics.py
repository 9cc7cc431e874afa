"""The settings of one topic."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from domain.topic import Start, Topic
from entrypoints import settings_rules as rules
from entrypoints.settings_types import CountOrNone, Hours, Section


class TopicSettings(Section):
    """One topic."""

    name: Annotated[str, AfterValidator(rules.topic_name)] = Field(
        description="Required of each topic: letters, digits, . _ -"
    )
    partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=6, description="For life: to grow, take a new topic and drain the old"
    )
    replication_factor: Annotated[int, Field(ge=0, le=32767)] = Field(
        default=0,
        description="0: min(3, brokers) when Herald makes the topic, whatever it has when it exists; "
        "1 is warned about at start",
    )
    retention_hours: Hours = Field(
        default=168,
        description="Kafka: retention.ms. SQLite: older rows go once every group has finished them; "
        "unfinished ones stay",
    )
    expires_after_seconds: CountOrNone = Field(
        default=0, description="For messages without expires_at; 0: never"
    )
    start: Literal["beginning", "end"] = Field(
        default="beginning", description="Where a group that is new to the topic begins"
    )
    groups: Annotated[
        tuple[Annotated[str, AfterValidator(rules.group)], ...],
        Field(strict=False),
        AfterValidator(rules.groups),
    ] = Field(default=("email", "sms"), description="Subscribed when each consumer boots")

    def topic(self) -> Topic:
        """The domain's value of it."""
        return Topic(
            name=self.name,
            partitions=self.partitions,
            replication_factor=self.replication_factor,
            retention_hours=self.retention_hours,
            expires_after_seconds=self.expires_after_seconds,
            start=Start(self.start),
            groups=self.groups,
        )
