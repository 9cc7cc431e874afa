"""What every `StatusView` keeps."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import count

import pytest

from domain.dead_letter import FOR_GROUP, REQUEST_ID
from domain.errors import LogUnavailable
from domain.ledger import Deferral, LedgerRecord, Note, State, Tombstone
from domain.log import Assigned, Headers, NewRecord, Position, Receipt, Record, Shard
from domain.outcome import DeadLetterReason
from domain.partitioning import partition_of_request
from domain.status import DeliveryState, MessageStatus, StoryEvent, StoryStep
from tests.contracts.rig import PARTITIONS, Rig

GROUPS = ("email", "sms")
_numbers: Iterator[int] = count()

# In the future of every clock that a log may give a message its time by.
AFTER = 2_000_000_000.25

ACCEPTED, RETRYING, UNCERTAIN, SENT, DEAD, EXPIRED, SKIPPED = DeliveryState


def new_id() -> str:
    return f"r-{next(_numbers)}:x"


def value_of(request_id: str, *, email: bool = True, phone: bool = True) -> bytes:
    addresses = [
        *(['"email": "ada@example.test"'] if email else []),
        *(['"phone": "+12025550143"'] if phone else []),
    ]
    return f'{{"request_id":"{request_id}", {", ".join(addresses)}}}'.encode()


class Story:
    """Messages on their way through one technology."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def shard(self, request_id: str) -> Shard:
        return self.rig.shard(partition_of_request(request_id, PARTITIONS))

    async def publish(
        self,
        request_id: str,
        shard: Shard | None = None,
        headers: Headers = (),
        *,
        email: bool = True,
        phone: bool = True,
    ) -> int:
        """Its offset."""
        value = value_of(request_id, email=email, phone=phone)
        record = NewRecord(shard or self.shard(request_id), None, value, headers)
        async with self.rig.publisher() as publisher:
            return await published(publisher.publish, record, self.rig.patience)

    async def note(
        self, group: str, request_id: str, offset: int, state: State, **more: object
    ) -> LedgerRecord:
        entry = LedgerRecord(
            offset=offset, request_id=request_id, digest=1, state=state, low=offset, at=1_800_000_000.25
        )
        entry = entry._replace(**more)  # type: ignore[arg-type]
        await self.write(group, self.shard(request_id), [entry])
        return entry

    async def defer(self, group: str, request_id: str, offset: int, due: float = 0.0) -> None:
        shard = self.shard(request_id)
        record = Record(shard, offset, b"k", value_of(request_id), (), 1_800_000_000.0)
        await self.write(group, shard, [Deferral(record=record, due=due)])

    async def write(self, group: str, shard: Shard, notes: Sequence[Note]) -> None:
        async with self.rig.ledger(group) as ledger:
            await ledger.write(shard, notes)

    async def commit(self, group: str, shard: Shard, offset: int) -> None:
        async with self.rig.log(group) as log, asyncio.timeout(self.rig.patience):
            held: set[Shard] = set()
            while shard not in held:
                event = await log.next_event(frozenset(held), 1, 0.1)
                held |= event.shards if isinstance(event, Assigned) else set()
            await log.commit({shard: Position(offset, "1 0 0")})

    async def status(self, request_id: str, *topics: str) -> MessageStatus:
        """Once the view has all that was written by now."""
        now = time.time()
        async with self.rig.status_view() as view, asyncio.timeout(self.rig.patience):
            while True:
                found: MessageStatus | None = await view.find(request_id, set(topics) or {self.rig.topic})
                if found is not None and found.as_of >= now:
                    return found
                await asyncio.sleep(0.05)


async def published(publish: object, record: NewRecord, patience: float) -> int:
    async with asyncio.timeout(patience):
        while True:
            [answer] = await publish([record])  # type: ignore[operator]
            if isinstance(answer, Receipt):
                return answer.offset
            await asyncio.sleep(0.05)


def states(status: MessageStatus) -> list[DeliveryState]:
    return [status.deliveries[group].state for group in GROUPS]


def told(status: MessageStatus) -> list[tuple[str, StoryEvent, int, int]]:
    """Each step's group, event, attempts and answers lost."""
    return [(step.group, step.event, step.attempts, step.uncertain_attempts) for step in status.story]


class StatusViewContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    @pytest.fixture
    def story(self, rig: Rig) -> Story:
        return Story(rig)

    async def test_a_message_that_nobody_has_tried_is_accepted_by_each_group(self, story: Story) -> None:
        request_id = new_id()
        await story.publish(new_id(), story.shard(request_id))
        offset = await story.publish(request_id)

        status = await story.status(request_id)

        shard = story.shard(request_id)
        assert (status.request_id, status.topic_name) == (request_id, shard.topic)
        assert (status.partition, status.offset) == (shard.partition, offset)
        assert states(status) == [ACCEPTED, ACCEPTED]
        assert {one.updated_at for one in status.deliveries.values()} == {status.accepted_at}
        assert status.as_of >= status.accepted_at

    async def test_an_id_that_the_log_does_not_have_is_not_known(self, story: Story) -> None:
        known = new_id()
        await story.publish(known)
        await story.status(known)

        async with story.rig.status_view() as view:
            assert await view.find(known[:-1], {story.rig.topic}) is None
            assert await view.find(known + "x", {story.rig.topic}) is None

    async def test_a_message_of_a_topic_that_is_not_asked_for_is_not_known(self, story: Story) -> None:
        known = new_id()
        await story.publish(known)
        await story.status(known)

        async with story.rig.status_view() as view:
            assert await view.find(known, {story.rig.other_topic}) is None
            assert await view.find(known, set()) is None

    async def test_a_message_with_a_partition_of_its_own_is_found_there(self, story: Story) -> None:
        request_id = new_id()
        elsewhere = story.rig.shard((story.shard(request_id).partition + 1) % PARTITIONS)
        await story.publish(request_id, elsewhere)

        status = await story.status(request_id)

        assert (status.partition, states(status)) == (elsewhere.partition, [ACCEPTED, ACCEPTED])

    async def test_without_an_address_for_a_channel_that_group_skips_it(self, story: Story) -> None:
        request_id = new_id()
        await story.publish(request_id, phone=False)

        status = await story.status(request_id)

        assert states(status) == [ACCEPTED, SKIPPED]

    async def test_what_a_group_has_sent_comes_with_all_that_it_noted(self, story: Story) -> None:
        request_id = new_id()
        offset = await story.publish(request_id)
        await story.note("email", request_id, offset, State.RETRYING, attempts=1, reason="451 later")
        noted = await story.note(
            "email", request_id, offset, State.SENT, attempts=1, uncertain=2, provider_id="queued as 7"
        )

        status = await story.status(request_id)

        email = status.deliveries["email"]
        assert (email.state, status.deliveries["sms"].state) == (SENT, ACCEPTED)
        assert (email.attempts, email.uncertain_attempts) == (2, 2)
        assert (email.provider_id, email.updated_at, email.reason) == ("queued as 7", noted.at, "")

    @pytest.mark.parametrize("state", list(State))
    async def test_every_state_that_a_group_notes_is_told(self, story: Story, state: State) -> None:
        request_id = new_id()
        offset = await story.publish(request_id)
        await story.note("sms", request_id, offset, state, attempts=3, reason="why")

        status = await story.status(request_id)

        sms = status.deliveries["sms"]
        assert (sms.state.value, sms.reason) == (state.value, "why")
        assert sms.attempts == (4 if state is State.SENT else 3)

    async def test_one_that_waits_behind_a_deferred_one_of_its_key_is_retrying(self, story: Story) -> None:
        request_id = new_id()
        offset = await story.publish(request_id)
        await story.defer("email", request_id, offset)
        for group in GROUPS:
            await story.commit(group, story.shard(request_id), offset + 1)

        status = await story.status(request_id)

        assert status.deliveries["email"].state is RETRYING

    async def test_another_message_under_its_id_leaves_the_first_one_s_status(self, story: Story) -> None:
        request_id = new_id()
        first = await story.publish(request_id)
        second = await story.publish(request_id)
        await story.note("email", request_id, second, State.DEAD, reason=DeadLetterReason.REQUEST_ID_REUSED)
        await story.note("email", request_id, first, State.SENT)

        status = await story.status(request_id)

        assert (status.offset, states(status)) == (first, [SENT, ACCEPTED])

    async def test_a_repeat_changes_nothing(self, story: Story) -> None:
        request_id = new_id()
        first = await story.publish(request_id)
        noted = await story.note("email", request_id, first, State.SENT)
        await story.publish(request_id)

        status = await story.status(request_id)

        assert (status.offset, states(status)) == (first, [SENT, ACCEPTED])
        assert status.deliveries["email"].updated_at == noted.at

    async def test_one_that_ended_as_dead_and_is_sent_again_is_accepted_again(self, story: Story) -> None:
        request_id = new_id()
        first = await story.publish(request_id)
        await story.note("email", request_id, first, State.DEAD, reason="refused")
        await story.note("sms", request_id, first, State.SENT)
        again = await story.publish(request_id)
        accepted = await story.status(request_id)
        await story.note("email", request_id, again, State.SENT)

        sent = await story.status(request_id)

        assert (states(accepted), states(sent)) == ([ACCEPTED, SENT], [SENT, SENT])

    async def test_a_replay_moves_a_dead_one_on_for_its_group_alone(self, story: Story) -> None:
        request_id = new_id()
        offset = await story.publish(request_id)
        for group in GROUPS:
            await story.note(group, request_id, offset, State.DEAD, reason="refused")
        headers = ((FOR_GROUP, b"email"), (REQUEST_ID, request_id.encode()))
        replayed = await story.publish(request_id, None, headers)
        waiting = await story.status(request_id)
        await story.note("email", request_id, replayed, State.SENT)

        status = await story.status(request_id)

        assert (states(waiting), states(status)) == ([ACCEPTED, DEAD], [SENT, DEAD])
        assert status.offset == offset

    async def test_the_newest_of_several_topics_is_told(self, story: Story) -> None:
        request_id = new_id()
        await story.publish(request_id)
        other = Shard(story.rig.other_topic, 0)
        await asyncio.sleep(0.002)  # times in Kafka are whole milliseconds
        await story.publish(request_id, other)
        await story.status(request_id, other.topic)

        both = await story.status(request_id, story.rig.topic, other.topic)
        one = await story.status(request_id, story.rig.topic)

        assert (both.topic_name, one.topic_name) == (other.topic, story.rig.topic)

    async def test_the_newest_is_told_also_where_only_an_older_one_was_tried(self, story: Story) -> None:
        request_id = new_id()
        older = await story.publish(request_id)
        await story.note("email", request_id, older, State.SENT)
        await asyncio.sleep(0.002)
        other = Shard(story.rig.other_topic, 0)
        await story.publish(request_id, other)
        await story.status(request_id, other.topic)

        both = await story.status(request_id, story.rig.topic, other.topic)

        assert (both.topic_name, states(both)) == (other.topic, [ACCEPTED, ACCEPTED])

    # The story ----------------------------------------------------------------------------------

    async def test_a_story_tells_each_try_and_the_end_in_order(self, story: Story) -> None:
        request_id = new_id()
        offset = await story.publish(request_id, phone=False)
        first = await story.note(
            "email", request_id, offset, State.RETRYING, attempts=1, reason="451 later", at=AFTER + 1
        )
        await story.note("email", request_id, offset, State.UNCERTAIN, attempts=1, uncertain=1, at=AFTER + 2)
        sent = await story.note(
            "email", request_id, offset, State.SENT, attempts=1, uncertain=1, provider_id="7", at=AFTER + 3
        )

        status = await story.status(request_id)

        assert told(status) == [
            ("", StoryEvent.ACCEPTED, 0, 0),
            ("sms", StoryEvent.SKIPPED, 0, 0),
            ("email", StoryEvent.RETRYING, 1, 0),
            ("email", StoryEvent.UNCERTAIN, 1, 1),
            ("email", StoryEvent.SENT, 2, 1),
        ]
        accepted, _, retrying, _, end = status.story
        assert accepted == StoryStep(at=status.accepted_at, event=StoryEvent.ACCEPTED)
        assert (retrying.at, retrying.reason) == (first.at, "451 later")
        assert (end.at, end.provider_id) == (sent.at, "7")

    async def test_a_try_that_was_written_twice_is_told_once(self, story: Story) -> None:
        request_id = new_id()
        offset = await story.publish(request_id)
        noted = await story.note("email", request_id, offset, State.RETRYING, attempts=1, at=AFTER)
        await story.write("email", story.shard(request_id), [noted])

        status = await story.status(request_id)

        assert told(status) == [("", StoryEvent.ACCEPTED, 0, 0), ("email", StoryEvent.RETRYING, 1, 0)]

    async def test_of_many_tries_the_first_and_the_newest_are_told(self, story: Story) -> None:
        request_id = new_id()
        offset = await story.publish(request_id)
        tries = [
            LedgerRecord(
                offset=offset,
                request_id=request_id,
                digest=1,
                state=State.RETRYING,
                low=0,
                attempts=number,
                reason=f"451 no. {number}",
                at=AFTER + number,
            )
            for number in range(1, 51)
        ]
        await story.write("email", story.shard(request_id), tries)
        await story.note("email", request_id, offset, State.DEAD, attempts=51, at=AFTER + 51)

        status = await story.status(request_id)

        numbers = [step.attempts for step in status.story if step.group == "email"]
        assert numbers == [*range(1, 6), *range(36, 51), 51]
        assert status.story[-2].reason == "451 no. 50"

    async def test_a_dead_one_names_its_letter_and_a_replay_goes_on_from_there(self, story: Story) -> None:
        request_id = new_id()
        offset = await story.publish(request_id)
        for group in GROUPS:
            await story.note(group, request_id, offset, State.DEAD, attempts=1, reason="refused", at=AFTER)
        headers = ((FOR_GROUP, b"email"), (REQUEST_ID, request_id.encode()))
        again = await story.publish(request_id, None, headers)
        await story.note("email", request_id, again, State.SENT, at=AFTER + 9)

        status = await story.status(request_id)

        email = [step for step in status.story if step.group in {"", "email"}]
        assert [step.event for step in email] == [
            StoryEvent.ACCEPTED,
            StoryEvent.DEAD,
            StoryEvent.REPLAYED,
            StoryEvent.SENT,
        ]
        shard = story.shard(request_id)
        assert email[1].dead_letter == f"{shard.topic}.email-{shard.partition}-{offset}"
        assert (email[1].reason, email[3].dead_letter) == ("refused", "")
        assert [step.event for step in status.story if step.group == "sms"] == [StoryEvent.DEAD]

    async def test_one_that_is_put_off_says_until_when_and_no_more_once_that_is_over(
        self, story: Story
    ) -> None:
        request_id = new_id()
        offset = await story.publish(request_id)
        await story.note("email", request_id, offset, State.RETRYING, attempts=1, at=AFTER)
        await story.defer("email", request_id, offset, due=AFTER + 60.5)
        waiting = await story.status(request_id)
        await story.note("email", request_id, offset, State.SENT, attempts=1, at=AFTER + 61)
        await story.write("email", story.shard(request_id), [Tombstone(offset)])

        status = await story.status(request_id)

        assert [step.event for step in waiting.story][-2:] == [StoryEvent.RETRYING, StoryEvent.DEFERRED]
        assert (waiting.story[-1].due, waiting.story[-1].at) == (AFTER + 60.5, AFTER)
        assert [step.event for step in status.story][-2:] == [StoryEvent.RETRYING, StoryEvent.SENT]

    async def test_repeats_and_other_messages_of_its_id_are_no_part_of_a_story(self, story: Story) -> None:
        request_id = new_id()
        first = await story.publish(request_id, phone=False)
        other = await story.publish(request_id, phone=False)
        await story.note("email", request_id, first, State.SENT, at=AFTER)
        await story.note("email", request_id, other, State.DEAD, reason=DeadLetterReason.REQUEST_ID_REUSED)
        await story.publish(request_id, phone=False)

        status = await story.status(request_id)

        assert [step.event for step in status.story] == [
            StoryEvent.ACCEPTED,
            StoryEvent.SKIPPED,
            StoryEvent.SENT,
        ]

    async def test_a_view_whose_log_does_not_answer_says_so(self, rig: Rig) -> None:
        async with rig.unreachable_status_view() as view:
            with pytest.raises(LogUnavailable):
                await view.find("r-1", {rig.topic})
