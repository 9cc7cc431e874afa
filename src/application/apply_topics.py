"""Makes the topics that the settings ask for, and holds those that exist against the settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from application.topic_plans import DAY_MS, HOUR_MS, own_topics, plan_topics, presence_plan
from domain.errors import HeraldError, LogUnavailable, TopicMismatch
from domain.ledger import ledger_topic
from domain.ports import TopicCatalog
from domain.topic import FOR_EVER, Cleanup, FoundTopic, Topic, TopicPlan

NONE_OF_THEM = ""
SETTINGS, HERALD = "the settings say", "Herald needs"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a run of `ApplyTopics` came to.

    `created`: topics that did not exist. `single_copy`: configured topics of which the log keeps one copy
    only, so that one lost disk loses messages. `trouble`: why processes cannot tell of themselves, for which
    no message waits; empty where they can.
    """

    created: tuple[str, ...]
    single_copy: tuple[str, ...]
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTopic:
    """A topic as planned, beside what exists of it; None when nothing does.

    `own_of`: the configured topic that this one of Herald's stands beside, `NONE_OF_THEM` where it stands
    alone; None for a configured one.
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
    """The use case of `herald topics`, and of every process that starts.

    `presence`: the topic in which processes tell of themselves; "" where the log needs none for it.
    """

    def __init__(
        self, catalog: TopicCatalog, topics: Sequence[Topic], dead_letter_days: int, presence: str = ""
    ) -> None:
        self._catalog = catalog
        self._topics = topics
        self._dead_letter_days = dead_letter_days
        self._alone = (presence_plan(presence, topics),) if presence else ()

    async def __call__(self) -> Applied:
        """Creates what is missing; what exists is never changed.

        Raises `TopicMismatch` when a topic exists with other numbers, and then creates nothing;
        `LogUnavailable`; `HeraldError` when the log refuses a plan for good, unless no message needs it.
        """
        listed = await self._checked()
        created: list[str] = []
        # Sources first: what stands beside them takes after them, as the log made them.
        for is_own in (False, True):
            missing = [t.plan for t in listed if t.found is None and bool(t.own_of) == is_own]
            if missing:
                await self._catalog.create(missing)
                created += [plan.name for plan in missing]
                # Another process with other settings may have been quicker.
                listed = await self._checked()
        configured = [topic for topic in listed if topic.own_of is None]
        single = [topic.plan.name for topic in configured if topic.replication_factor == 1]
        made, trouble = await self._make_what_stands_alone()
        return Applied((*created, *made), tuple(single), trouble)

    async def _make_what_stands_alone(self) -> tuple[list[str], str]:
        """What was made, and what the log has against it: no message needs it, and so none waits for it."""
        try:
            listed = self._standing_alone(await self._catalog.find({plan.name for plan in self._alone}))
            missing = [topic.plan for topic in listed if topic.found is None]
            if missing:
                await self._catalog.create(missing)
        except LogUnavailable:
            raise
        except HeraldError as error:
            return [], str(error)
        faults = [fault for topic in listed for fault in mismatches(topic)]
        return [plan.name for plan in missing], "; ".join(faults)

    async def _checked(self) -> Sequence[ListedTopic]:
        listed = list(self._beside(await self._catalog.find(self._names_beside())))
        if faults := [fault for topic in listed for fault in mismatches(topic)]:
            raise TopicMismatch("; ".join(faults))
        return listed

    async def list_topics(self) -> Sequence[ListedTopic]:
        """Each configured topic, followed by Herald's own beside it; then what stands alone.

        Raises `LogUnavailable`.
        """
        found = await self._catalog.find(self._names_beside() | {plan.name for plan in self._alone})
        return [*self._beside(found), *self._standing_alone(found)]

    def _names_beside(self) -> set[str]:
        return {plan.name for plan in plan_topics(self._topics, self._dead_letter_days, {})}

    def _beside(self, found: Mapping[str, FoundTopic]) -> Iterator[ListedTopic]:
        plans = plan_topics(self._topics, self._dead_letter_days, found)
        return _listed(self._topics, {plan.name: plan for plan in plans}, found)

    def _standing_alone(self, found: Mapping[str, FoundTopic]) -> list[ListedTopic]:
        return [
            ListedTopic(plan=plan, found=found.get(plan.name), groups=(), own_of=NONE_OF_THEM)
            for plan in self._alone
        ]


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


def _listed(
    topics: Sequence[Topic], plans: Mapping[str, TopicPlan], found: Mapping[str, FoundTopic]
) -> Iterator[ListedTopic]:
    for topic in topics:
        yield ListedTopic(plan=plans[topic.name], found=found.get(topic.name), groups=topic.groups)
        for group in topic.groups:
            for name in own_topics(topic.name, group):
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
        who = SETTINGS if topic.own_of is None else HERALD
        remedy = _other_partitions(topic)
        yield _mismatch(topic, f"{found.partitions} partitions", plan.partitions, remedy, who)
    if topic.own_of is None and plan.replication_factor not in {0, found.replication_factor}:
        remedy = f"set replication_factor = {found.replication_factor}, or 0 for whatever it has"
        yield _mismatch(
            topic, f"replication factor {found.replication_factor}", plan.replication_factor, remedy
        )
    if found.cleanup not in {None, plan.cleanup}:
        remedy = f"change the topic's cleanup.policy to {plan.cleanup}"
        yield _mismatch(topic, f"cleanup.policy {found.cleanup}", plan.cleanup, remedy, who=HERALD)
    elif plan.cleanup is Cleanup.DELETE and topic.own_of != NONE_OF_THEM:  # there any age will do
        yield from _other_ages(topic, found.retention_ms)


def _other_ages(topic: ListedTopic, has_ms: int | None) -> Iterator[str]:
    wanted_ms = topic.plan.retention_ms
    if has_ms is None or has_ms == wanted_ms:
        return
    if topic.own_of is None or topic.plan.name != ledger_topic(topic.own_of, *topic.groups):
        remedy = _other_retention(topic, has_ms)
        yield _mismatch(topic, f"retention.ms {has_ms}", wanted_ms, remedy)
    elif has_ms != FOR_EVER and (wanted_ms == FOR_EVER or has_ms < wanted_ms):  # longer does no harm
        remedy = f"change the topic's retention.ms to {wanted_ms}"
        yield _mismatch(topic, f"retention.ms {has_ms}", wanted_ms, remedy, who=HERALD)


def _mismatch(topic: ListedTopic, has: str, wanted: object, remedy: str, who: str = SETTINGS) -> str:
    return f"topic {topic.plan.name} has {has} where {who} {wanted}: {remedy}"


def _other_partitions(topic: ListedTopic) -> str:
    if topic.own_of is not None:
        return "it was not made by Herald for this topic; delete it if nothing in it is needed"
    return f"set partitions = {topic.partitions}, or take a new topic; partitions are for life"


def _other_retention(topic: ListedTopic, has_ms: int | None) -> str:
    setting, unit = (
        ("retention_hours", HOUR_MS) if topic.own_of is None else ("broker.dead_letter_days", DAY_MS)
    )
    change = f"change the topic's retention.ms to {topic.plan.retention_ms}"
    if has_ms is None or has_ms < unit or has_ms % unit:
        return change
    return f"set {setting} = {has_ms // unit}, or {change}"
