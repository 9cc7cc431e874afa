from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Self

import pytest

from application.apply_topics import ApplyTopics, topics_answer
from application.topic_plans import plan_topics
from domain.errors import HeraldError, TopicMismatch
from domain.topic import FOR_EVER, Cleanup, FoundTopic, Topic, TopicPlan

PAYMENTS = Topic(name="payments", partitions=6)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAIL_LEDGER, MAIL_DEFERRED = "payments.email.ledger", "payments.email.deferred"
TEXT_LEDGER, TEXT_DEFERRED = "payments.sms.ledger", "payments.sms.deferred"
MAIL_LETTERS = "payments.email.dead-letters"
TEXT_LETTERS = "payments.sms.dead-letters"
MAIL_CONTROL, TEXT_CONTROL = "payments.email.control", "payments.sms.control"


SEGMENT_MS = 3 * DAY_MS


class KeptTopics:
    """A catalog that keeps what it was told; `rival` creates its topic just before the next `create`."""

    def __init__(self, *found: FoundTopic, brokers: int = 3) -> None:
        self.topics = {topic.name: topic for topic in found}
        self.created: list[TopicPlan] = []
        self.rival: FoundTopic | None = None
        self._brokers = brokers

    async def find(self, names: AbstractSet[str]) -> Mapping[str, FoundTopic]:
        return {name: topic for name, topic in self.topics.items() if name in names}

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        if self.rival:
            self.topics[self.rival.name] = self.rival
        self.created += plans
        for plan in plans:
            self.topics.setdefault(plan.name, self._made(plan))

    def _made(self, plan: TopicPlan) -> FoundTopic:
        return FoundTopic(
            name=plan.name,
            partitions=plan.partitions,
            replication_factor=plan.replication_factor or min(3, self._brokers),
            retention_ms=plan.retention_ms,
            cleanup=plan.cleanup,
            segment_ms=SEGMENT_MS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def found(
    name: str = "payments", *, partitions: int = 6, replicas: int = 3, hours: float = 168
) -> FoundTopic:
    return FoundTopic(
        name=name, partitions=partitions, replication_factor=replicas, retention_ms=int(hours * HOUR_MS)
    )


def use_case(catalog: KeptTopics, *topics: Topic, days: int = 90) -> ApplyTopics:
    return ApplyTopics(catalog, topics or (PAYMENTS,), days)


OF_MAIL = (MAIL_LEDGER, MAIL_DEFERRED, MAIL_LETTERS, MAIL_CONTROL)
OF_TEXT = (TEXT_LEDGER, TEXT_DEFERRED, TEXT_LETTERS, TEXT_CONTROL)
OWN = (*OF_MAIL, *OF_TEXT)


async def test_missing_topics_are_created_with_herald_s_own_beside_them() -> None:
    catalog = KeptTopics()

    applied = await use_case(catalog)()

    assert applied.created == ("payments", *OWN)
    assert catalog.created[:5] == [
        TopicPlan(name="payments", partitions=6, replication_factor=0, retention_ms=7 * DAY_MS),
        TopicPlan(
            name=MAIL_LEDGER,
            partitions=6,
            replication_factor=3,
            retention_ms=(7 + 3 + 1) * DAY_MS,
            beside="payments",
        ),
        TopicPlan(
            name=MAIL_DEFERRED,
            partitions=6,
            replication_factor=3,
            retention_ms=FOR_EVER,
            cleanup=Cleanup.COMPACT,
            extra_message_bytes=65_536,
            beside="payments",
        ),
        TopicPlan(
            name=MAIL_LETTERS,
            partitions=1,
            replication_factor=3,
            retention_ms=90 * DAY_MS,
            extra_message_bytes=65_536,
            beside="payments",
        ),
        TopicPlan(
            name=MAIL_CONTROL,
            partitions=1,
            replication_factor=3,
            retention_ms=FOR_EVER,
            cleanup=Cleanup.COMPACT,
            beside="payments",
        ),
    ]


async def test_sources_are_created_first_since_their_own_take_after_them() -> None:
    catalog = KeptTopics()
    orders = Topic(name="orders", partitions=2, groups=("email",))

    applied = await use_case(catalog, replace(PAYMENTS, groups=("sms",)), orders)()

    assert applied.created[:2] == ("payments", "orders")
    assert len(applied.created) == 2 + 4 + 4


async def test_a_ledger_of_what_is_kept_for_ever_is_kept_for_ever() -> None:
    source = replace(found(), retention_ms=FOR_EVER)

    plans = {plan.name: plan for plan in plan_topics([PAYMENTS], 90, {"payments": source})}

    assert plans[MAIL_LEDGER].retention_ms == FOR_EVER


@pytest.mark.parametrize("has_ms", [FOR_EVER, 90 * DAY_MS])
async def test_a_ledger_may_be_kept_longer_than_it_must(has_ms: int) -> None:
    ledger = replace(found(MAIL_LEDGER), retention_ms=has_ms)

    applied = await use_case(KeptTopics(found(), ledger))()

    assert MAIL_LEDGER not in applied.created


async def test_what_is_kept_by_key_has_no_age() -> None:
    deferred = replace(found(MAIL_DEFERRED), cleanup=Cleanup.COMPACT, retention_ms=DAY_MS)

    applied = await use_case(KeptTopics(found(), deferred))()

    assert MAIL_DEFERRED not in applied.created


async def test_own_topics_are_not_named_when_it_is_their_source_that_is_otherwise() -> None:
    catalog = KeptTopics()
    await use_case(catalog)()

    with pytest.raises(TopicMismatch) as raised:
        await use_case(catalog, replace(PAYMENTS, partitions=7, retention_hours=24))()

    assert str(raised.value).count("topic ") == str(raised.value).count("topic payments has")


async def test_a_second_run_creates_nothing() -> None:
    catalog = KeptTopics()
    await use_case(catalog)()
    catalog.created.clear()

    applied = await use_case(catalog)()

    assert applied.created == ()
    assert catalog.created == []


async def test_a_group_that_is_not_subscribed_gets_no_topics() -> None:
    catalog = KeptTopics()

    applied = await use_case(catalog, replace(PAYMENTS, groups=("sms",)))()

    assert applied.created == ("payments", *OF_TEXT)


async def test_only_what_is_missing_is_created() -> None:
    catalog = KeptTopics(found(), found(MAIL_LETTERS, partitions=1, hours=90 * 24))

    applied = await use_case(catalog)()

    assert applied.created == tuple(name for name in OWN if name != MAIL_LETTERS)


async def test_own_topics_follow_the_replication_that_the_source_really_has() -> None:
    catalog = KeptTopics(found(replicas=2))

    await use_case(catalog)()

    assert [plan.replication_factor for plan in catalog.created] == [2] * 8


def test_without_a_source_own_topics_follow_its_configured_replication() -> None:
    plans = plan_topics([replace(PAYMENTS, replication_factor=2)], 90, {})

    assert [plan.replication_factor for plan in plans] == [2] * 9


@pytest.mark.parametrize(
    ("topic", "exists", "line"),
    [
        (
            PAYMENTS,
            found(partitions=3),
            (
                "topic payments has 3 partitions where the settings say 6: "
                "set partitions = 3, or take a new topic; partitions are for life"
            ),
        ),
        (
            replace(PAYMENTS, replication_factor=3),
            found(replicas=1),
            (
                "topic payments has replication factor 1 where the settings say 3: "
                "set replication_factor = 1, or 0 for whatever it has"
            ),
        ),
        (
            PAYMENTS,
            found(hours=24),
            (
                "topic payments has retention.ms 86400000 where the settings say 604800000: "
                "set retention_hours = 24, or change the topic's retention.ms to 604800000"
            ),
        ),
        (
            PAYMENTS,
            found(hours=0.5),
            (
                "topic payments has retention.ms 1800000 where the settings say 604800000: "
                "change the topic's retention.ms to 604800000"
            ),
        ),
        (
            PAYMENTS,
            replace(found(), retention_ms=-1),
            (
                "topic payments has retention.ms -1 where the settings say 604800000: "
                "change the topic's retention.ms to 604800000"
            ),
        ),
        (
            PAYMENTS,
            found(MAIL_LETTERS, partitions=2, hours=90 * 24),
            (
                f"topic {MAIL_LETTERS} has 2 partitions where Herald needs 1: "
                "it was not made by Herald for this topic; delete it if nothing in it is needed"
            ),
        ),
        (
            PAYMENTS,
            found(MAIL_LEDGER, partitions=5, hours=15 * 24),
            (
                f"topic {MAIL_LEDGER} has 5 partitions where Herald needs 6: "
                "it was not made by Herald for this topic; delete it if nothing in it is needed"
            ),
        ),
        (
            PAYMENTS,
            found(MAIL_LEDGER, hours=168),
            (
                f"topic {MAIL_LEDGER} has retention.ms 604800000 where Herald needs 1296000000: "
                "change the topic's retention.ms to 1296000000"
            ),
        ),
        (
            PAYMENTS,
            replace(found(MAIL_LEDGER), cleanup=Cleanup.BOTH),
            (
                f"topic {MAIL_LEDGER} has cleanup.policy compact,delete where Herald needs delete: "
                "change the topic's cleanup.policy to delete"
            ),
        ),
        (
            PAYMENTS,
            replace(found(MAIL_DEFERRED), cleanup=Cleanup.DELETE),
            (
                f"topic {MAIL_DEFERRED} has cleanup.policy delete where Herald needs compact: "
                "change the topic's cleanup.policy to compact"
            ),
        ),
        (
            PAYMENTS,
            replace(found(), cleanup=Cleanup.COMPACT),
            (
                "topic payments has cleanup.policy compact where Herald needs delete: "
                "change the topic's cleanup.policy to delete"
            ),
        ),
        (
            PAYMENTS,
            found(MAIL_LETTERS, partitions=1, hours=24),
            (
                f"topic {MAIL_LETTERS} has retention.ms 86400000 where the settings say 7776000000: "
                "set broker.dead_letter_days = 1, or change the topic's retention.ms to 7776000000"
            ),
        ),
    ],
)
async def test_a_topic_with_other_numbers_is_one_clear_line_and_nothing_is_created(
    topic: Topic, exists: FoundTopic, line: str
) -> None:
    catalog = KeptTopics(exists)

    with pytest.raises(TopicMismatch) as raised:
        await use_case(catalog, topic)()

    assert str(raised.value) == line
    assert catalog.created == []


async def test_every_mismatch_is_named_at_once() -> None:
    catalog = KeptTopics(found(partitions=3, hours=24))

    with pytest.raises(TopicMismatch) as raised:
        await use_case(catalog)()

    assert str(raised.value).count("topic payments has") == 2


async def test_replication_left_open_takes_whatever_the_topic_has() -> None:
    applied = await use_case(KeptTopics(found(replicas=1)))()

    assert applied.single_copy == ("payments",)


async def test_dead_letters_may_have_other_replication_than_their_source() -> None:
    catalog = KeptTopics(found(replicas=3), found(MAIL_LETTERS, partitions=1, replicas=1, hours=90 * 24))

    applied = await use_case(catalog)()

    assert applied.single_copy == ()


async def test_topics_that_the_log_makes_with_one_copy_are_named() -> None:
    applied = await use_case(KeptTopics(brokers=1))()

    assert applied.single_copy == ("payments",)


async def test_a_topic_that_another_process_made_otherwise_meanwhile_is_found_out() -> None:
    catalog = KeptTopics()
    catalog.rival = found(partitions=12)

    with pytest.raises(TopicMismatch, match="has 12 partitions where the settings say 6"):
        await use_case(catalog)()


async def test_the_list_has_each_topic_with_herald_s_own_beside_it() -> None:
    orders = Topic(name="orders", partitions=2, groups=("email",))

    listed = await use_case(KeptTopics(found()), PAYMENTS, orders).list_topics()

    assert [(topic.plan.name, topic.own_of, topic.found is not None) for topic in listed] == [
        ("payments", None, True),
        *((name, "payments", False) for name in OWN),
        ("orders", None, False),
        ("orders.email.ledger", "orders", False),
        ("orders.email.deferred", "orders", False),
        ("orders.email.dead-letters", "orders", False),
        ("orders.email.control", "orders", False),
    ]


async def test_the_answer_names_configured_topics_as_the_log_has_them() -> None:
    listed = await use_case(KeptTopics(found(replicas=2, partitions=3))).list_topics()

    assert topics_answer(listed) == {
        "topics": [{"name": "payments", "partitions": 3, "replication_factor": 2, "groups": ["email", "sms"]}]
    }


async def test_the_answer_for_a_topic_that_does_not_exist_is_what_the_settings_say() -> None:
    listed = await use_case(KeptTopics()).list_topics()

    assert topics_answer(listed)["topics"][0]["partitions"] == 6
    assert topics_answer(listed)["topics"][0]["replication_factor"] == 0


async def test_a_log_that_keeps_no_retention_of_its_own_takes_it_from_the_settings() -> None:
    catalog = KeptTopics(replace(found(), retention_ms=None))

    applied = await use_case(catalog)()

    assert "payments" not in applied.created


# What stands alone ----------------------------------------------------------------------------


class RefusesPresence(KeptTopics):
    """Its login has rights to what belongs to the topics, and to nothing else."""

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        if any(plan.name == "herald-presence" for plan in plans):
            raise HeraldError("Kafka refuses to create topic herald-presence")
        await super().create(plans)


async def test_where_processes_may_not_tell_of_themselves_the_topics_are_made_all_the_same() -> None:
    catalog = RefusesPresence()

    applied = await ApplyTopics(catalog, (PAYMENTS,), 90, "herald-presence")()

    assert set(applied.created) == {"payments", *OWN}
    assert applied.trouble == "Kafka refuses to create topic herald-presence"


async def test_one_of_another_shape_stops_nothing_and_is_told() -> None:
    catalog = KeptTopics(found("herald-presence", partitions=3))

    applied = await ApplyTopics(catalog, (PAYMENTS,), 90, "herald-presence")()

    assert set(applied.created) == {"payments", *OWN}
    assert "herald-presence has 3 partitions" in applied.trouble


async def test_it_is_made_with_the_others_and_then_there_is_no_trouble() -> None:
    catalog = KeptTopics()
    apply = ApplyTopics(catalog, (PAYMENTS,), 90, "herald-presence")

    first, again = await apply(), await apply()

    assert first.created[-1] == "herald-presence"
    assert (first.trouble, again.created, again.trouble) == ("", (), "")
