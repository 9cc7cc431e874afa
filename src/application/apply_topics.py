"""Makes the topics that the settings ask for, and holds those that exist against the settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.errors import TopicMismatch
from domain.ports import TopicCatalog
from domain.topic import FoundTopic, Topic, TopicPlan, dead_letter_topic

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OWN_HEADERS_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Applied:
    """What a run of `ApplyTopics` came to.

    `created`: topics that did not exist. `single_copy`: configured topics of which the log keeps one copy
    only, so that one lost disk loses messages.
    """

    created: tuple[str, ...]
    single_copy: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTopic:
    """A topic as planned, beside what exists of it; None when nothing does.

    `own_of`: the configured topic that this one of Herald's stands beside; None for a configured one.
    """

    plan: TopicPlan
    found: FoundTopic | None
    groups: tuple[str, ...]
    own_of: str | None = None

    @property
    def partitions(self) -> int:
        return self.found.partitions if self.found else self.plan.partitions

    @property
    def replication_factor(self) -> int:
        """As the log has it; of a topic that does not exist as configured, where 0 leaves it open."""
        return self.found.replication_factor if self.found else self.plan.replication_factor


class ApplyTopics:
    """The use case of `herald topics`, and of every process that starts."""

    def __init__(self, catalog: TopicCatalog, topics: Sequence[Topic], dead_letter_days: int) -> None:
        self._catalog = catalog
        self._topics = topics
        self._dead_letter_days = dead_letter_days

    async def __call__(self) -> Applied:
        """Creates what is missing; what exists is never changed.

        Raises `TopicMismatch` when a topic exists with other numbers, and then creates nothing;
        `LogUnavailable`; `HeraldError` when the log refuses a plan for good.
        """
        listed = await self._checked()
        missing = [topic.plan for topic in listed if topic.found is None]
        if missing:
            await self._catalog.create(missing)
            # Another process with other settings may have been quicker.
            listed = await self._checked()
        configured = [topic for topic in listed if topic.own_of is None]
        single = [topic.plan.name for topic in configured if topic.replication_factor == 1]
        return Applied(tuple(plan.name for plan in missing), tuple(single))

    async def _checked(self) -> Sequence[ListedTopic]:
        listed = await self.list_topics()
        if faults := [fault for topic in listed for fault in mismatches(topic)]:
            raise TopicMismatch("; ".join(faults))
        return listed

    async def list_topics(self) -> Sequence[ListedTopic]:
        """Each configured topic, followed by Herald's own beside it. Raises `LogUnavailable`."""
        names = {plan.name for plan in plan_topics(self._topics, self._dead_letter_days, {})}
        found = await self._catalog.find(names)
        plans = plan_topics(self._topics, self._dead_letter_days, found)
        return list(_listed(self._topics, {plan.name: plan for plan in plans}, found))


def topics_answer(listed: Sequence[ListedTopic]) -> dict[str, list[dict[str, object]]]:
    """The configured topics in the form of `GET /api/v1/topics`."""
    return {
        "topics": [
            {
                "name": topic.plan.name,
                "partitions": topic.partitions,
                "replication_factor": topic.replication_factor,
                "groups": list(topic.groups),
            }
            for topic in listed
            if topic.own_of is None
        ]
    }


def plan_topics(
    topics: Sequence[Topic], dead_letter_days: int, found: Mapping[str, FoundTopic]
) -> tuple[TopicPlan, ...]:
    """Every topic that has to exist: the configured ones and Herald's own.

    Herald's own follow their source's replication, as the log has it where the source exists.
    """
    plans: list[TopicPlan] = []
    for topic in topics:
        plans.append(_plan(topic))
        source = found.get(topic.name)
        replication = source.replication_factor if source else topic.replication_factor
        plans += [
            TopicPlan(
                name=dead_letter_topic(topic.name, group),
                partitions=1,
                replication_factor=replication,
                retention_ms=dead_letter_days * DAY_MS,
                extra_message_bytes=OWN_HEADERS_BYTES,
                beside=topic.name,
            )
            for group in topic.groups
        ]
    return tuple(plans)


def _plan(topic: Topic) -> TopicPlan:
    return TopicPlan(
        name=topic.name,
        partitions=topic.partitions,
        replication_factor=topic.replication_factor,
        retention_ms=topic.retention_hours * HOUR_MS,
    )


def _listed(
    topics: Sequence[Topic], plans: Mapping[str, TopicPlan], found: Mapping[str, FoundTopic]
) -> Iterator[ListedTopic]:
    for topic in topics:
        yield ListedTopic(plan=plans[topic.name], found=found.get(topic.name), groups=topic.groups)
        for group in topic.groups:
            name = dead_letter_topic(topic.name, group)
            yield ListedTopic(plan=plans[name], found=found.get(name), groups=(group,), own_of=topic.name)


def mismatches(topic: ListedTopic) -> Iterator[str]:
    """What the log has otherwise than the settings say, and what to do about it.

    The replication of Herald's own topics is left alone: whoever moves a source to more brokers moves
    them before or after it.
    """
    plan, found = topic.plan, topic.found
    if found is None:
        return
    if found.partitions != plan.partitions:
        yield _mismatch(topic, f"{found.partitions} partitions", plan.partitions, _other_partitions(topic))
    if topic.own_of is None and plan.replication_factor not in {0, found.replication_factor}:
        remedy = f"set replication_factor = {found.replication_factor}, or 0 for whatever it has"
        yield _mismatch(
            topic, f"replication factor {found.replication_factor}", plan.replication_factor, remedy
        )
    if found.retention_ms not in {None, plan.retention_ms}:
        has = f"retention.ms {found.retention_ms}"
        yield _mismatch(topic, has, plan.retention_ms, _other_retention(topic, found.retention_ms))


def _mismatch(topic: ListedTopic, has: str, wanted: int, remedy: str) -> str:
    return f"topic {topic.plan.name} has {has} where the settings say {wanted}: {remedy}"


def _other_partitions(topic: ListedTopic) -> str:
    if topic.own_of is not None:
        return "it was not made by Herald; delete it if nothing in it is needed"
    return f"set partitions = {topic.partitions}, or take a new topic; partitions are for life"


def _other_retention(topic: ListedTopic, has_ms: int | None) -> str:
    setting, unit = (
        ("retention_hours", HOUR_MS) if topic.own_of is None else ("broker.dead_letter_days", DAY_MS)
    )
    change = f"change the topic's retention.ms to {topic.plan.retention_ms}"
    if has_ms is None or has_ms < unit or has_ms % unit:
        return change
    return f"set {setting} = {has_ms // unit}, or {change}"
