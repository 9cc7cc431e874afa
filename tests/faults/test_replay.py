"""What could not be delivered is found and sent again: by its own group, once, however often it is begun."""

import asyncio
import json
import signal
import subprocess
from contextlib import AsyncExitStack
from typing import Any

import pytest

from containers import Container
from domain.dead_letter import LetterFilter
from domain.log import NewRecord, Receipt, Shard
from entrypoints.settings import load_settings
from tests.faults.scene import Scene, by_key
from tests.site import HERALD, eventually
from tests.smtp_server import HANG, say

NO_SUCH_USER = say("550 5.1.1 no such user")
GONE, ADA = "gone@example.test", "ada@example.test"


async def herald(scene: Scene, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, to its end."""
    return await scene.site.run(*HERALD, "dead-letters", *arguments)


async def replay(scene: Scene, *arguments: str) -> str:
    """What a replay that does its work says."""
    done = await herald(scene, "replay", "--yes", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.strip()


async def listed(scene: Scene, *arguments: str) -> list[dict[str, Any]]:
    done = await herald(scene, "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    letters: list[dict[str, Any]] = json.loads(done.stdout)["dead_letters"]
    return letters


async def shown(scene: Scene, letter_id: str) -> dict[str, Any]:
    done = await herald(scene, "show", letter_id, "--json")
    assert done.returncode == 0, done.stderr
    letter: dict[str, Any] = json.loads(done.stdout)
    return letter


def container_of(scene: Scene) -> Container:
    folder = scene.site.folder
    settings = load_settings(None, [f"sqlite.path={folder}/data/herald.db"], scene.site.environ, folder)
    return Container(settings=settings.settings)


async def nothing_left(scene: Scene, group: str) -> bool:
    """Whether the group came to the end of its topics."""

    async def finished() -> bool:
        lags = (await scene.site.http.get(f"{scene.site.api}/api/v1/lag")).json()["lag"]
        return not any(one["lag"] or one["deferred"] for one in lags if one["group"] == group)

    return await eventually(finished)


def refused_and_good(count: int, **fields: object) -> list[dict[str, object]]:
    """So many that are refused, each followed by one that passes: or the channel would count as down."""
    pairs = [
        ({"request_id": f"k{n % 3}-{n}", "key": f"k{n % 3}", "email": GONE}, {"email": ADA})
        for n in range(count)
    ]
    return [{**message, **fields} for pair in pairs for message in pair]


async def dead_in(scene: Scene, count: int) -> list[str]:
    """Posts so many that are refused; their ids."""
    scene.mails.by_recipient = {GONE: NO_SUCH_USER}
    await scene.post(refused_and_good(count))
    assert await scene.has_dead_letters("email", count, "refused"), scene.site.output()
    assert await scene.mailed_count(count)
    scene.mails.mails.clear()
    return [f"k{n % 3}-{n}" for n in range(count)]


async def test_refused_messages_are_listed_and_after_a_replay_each_is_delivered_once_to_its_group_alone(
    any_scene: Scene,
) -> None:
    await any_scene.start("email", "sms")
    any_scene.mails.by_recipient = {GONE: NO_SUCH_USER}
    await any_scene.post(refused_and_good(9, phone="+12025550143"))
    assert await any_scene.has_dead_letters("email", 9, "refused"), any_scene.site.output()
    assert await any_scene.mailed_count(9)
    any_scene.mails.mails.clear()
    ids = [f"k{n % 3}-{n}" for n in range(9)]
    assert await nothing_left(any_scene, "sms")
    assert len(any_scene.texts.texts) == 18

    letters = await listed(any_scene)
    answer = await any_scene.site.http.get(f"{any_scene.site.api}/api/v1/dead-letters?group=email")
    assert answer.json() == {"dead_letters": letters, "next": None}
    assert sorted(letter["request_id"] for letter in letters) == sorted(ids)
    assert "@" not in answer.text.replace("***@***", "")
    assert await listed(any_scene, "--group", "sms") == []

    any_scene.mails.by_recipient = {}
    assert await replay(any_scene, "--reason", "refused") == "9 dead letters sent again"
    assert await any_scene.mailed_all(ids), any_scene.site.output()
    assert await nothing_left(any_scene, "email")
    assert await nothing_left(any_scene, "sms")

    assert sorted(any_scene.mailed()) == sorted(ids)
    assert all(list(ns) == sorted(ns) for ns in by_key(any_scene.mailed()).values())
    assert len(any_scene.texts.texts) == 18
    assert await replay(any_scene, "--all") == "0 dead letters sent again, 9 had been sent again before"
    assert {letter["replays"] for letter in await listed(any_scene)} == {1}
    whole = await shown(any_scene, letters[0]["id"])
    assert whole["replayed_by"].count("@") == 1
    assert whole["replayed_at"] > whole["failed_at"]


async def test_a_replay_killed_in_the_middle_goes_on_without_a_repeat_also_while_nothing_else_runs(
    any_scene: Scene,
) -> None:
    any_scene.site.start("api")
    consumer = any_scene.site.start_consumer("email")
    assert await any_scene.site.ready(), any_scene.site.output()
    assert await any_scene.site.consumer_ready("email"), any_scene.site.output()
    ids = await dead_in(any_scene, 30)
    any_scene.mails.by_recipient = {}

    killed = any_scene.site.start("dead-letters", "replay", "--all", "--yes", "--rate", "3")
    assert await any_scene.mailed_count(4), any_scene.site.output()
    killed.send_signal(signal.SIGKILL)
    assert await asyncio.to_thread(killed.wait, 10) == -signal.SIGKILL
    first = len(any_scene.mails.mails)
    assert 4 <= first < 30

    # The second half is put back while no other process runs.
    consumer.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(consumer.wait, 30) == 0
    said = await replay(any_scene, "--all")
    again, before = (int(part.split()[0]) for part in said.split(", "))
    assert again + before == 30
    assert before > 0
    any_scene.site.start_consumer("email")

    assert await any_scene.mailed_all(ids), any_scene.site.output()
    assert await nothing_left(any_scene, "email")
    assert sorted(any_scene.mailed()) == sorted(ids)
    assert all(list(ns) == sorted(ns) for ns in by_key(any_scene.mailed()).values())


async def test_what_a_replay_that_was_killed_left_in_the_log_without_a_note_is_sent_once(
    any_scene: Scene,
) -> None:
    await any_scene.start("email")
    ids = await dead_in(any_scene, 3)
    any_scene.mails.by_recipient = {}
    container = container_of(any_scene)

    async with container.dead_letter_archive() as archive:
        page = await archive.find(LetterFilter())
        for kept in (*page.letters, *page.letters):
            await archive.put_back(kept, by="somebody who was killed each time")

    assert await any_scene.mailed_all(ids), any_scene.site.output()
    assert await nothing_left(any_scene, "email")
    assert sorted(any_scene.mailed()) == sorted(ids)


async def test_what_dies_after_three_replays_is_parked(any_scene: Scene) -> None:
    await any_scene.start("email")
    await dead_in(any_scene, 1)
    for life in range(1, 4):
        assert (await replay(any_scene, "--all")).startswith("1 dead letter sent again")
        assert await any_scene.has_dead_letters("email", life + 1, "refused")

    refused = await herald(any_scene, "replay", "--all", "--yes")
    *_, last = await listed(any_scene)
    by_id = await herald(any_scene, "replay", last["id"], "--yes")

    assert (last["replays"], last["request_id"]) == (3, "k0-0")
    assert refused.stdout == "0 dead letters sent again, 3 had been sent again before, 1 parked\n"
    assert (by_id.returncode, by_id.stderr.count("\n")) == (1, 1)
    assert "parked" in by_id.stderr
    assert len(any_scene.tries(GONE)) == 4


VALUES = {
    "undecodable": b'{"request_id": "\xff',
    "invalid": b'{"request_id": "invalid", "email": "nobody"}',
}
POSTED = {
    "refused": GONE,
    "too-many-attempts": "grey@example.test",
    "uncertain": "silent@example.test",
    "request-id-reused": ADA,
}
HEADERS = (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("raw", b"\x00\xff"))


@pytest.fixture
def scene_of_all_reasons(any_scene: Scene) -> Scene:
    any_scene.set(
        delivery__first_retry_seconds=0.1,
        delivery__max_attempts=2,
        delivery__max_uncertain=1,
        smtp__data_timeout_seconds=1,
    )
    any_scene.change(retry_policy={"uncertain_waits": [0.1]})
    any_scene.mails.by_recipient = {GONE: NO_SUCH_USER, POSTED["too-many-attempts"]: say("451 4.7.1 later")}
    any_scene.mails.at_content = {POSTED["uncertain"]: HANG}
    return any_scene


async def put_into_the_log(scene: Scene, *records: NewRecord) -> None:
    """As another producer does."""
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(container_of(scene).publisher())
        answers = await publisher.publish(records)
    assert all(isinstance(answer, Receipt) for answer in answers), answers


async def test_every_reason_ends_in_a_letter_with_the_original_and_a_replay_delivers_what_can_be(
    scene_of_all_reasons: Scene,
) -> None:
    scene = scene_of_all_reasons
    await scene.start("email")
    shard = Shard(scene.site.topic, 0)
    values = VALUES | {
        reason: json.dumps({"request_id": reason, "email": address}).encode()
        for reason, address in POSTED.items()
    }
    taken = json.dumps({"request_id": "request-id-reused", "email": ADA, "message_body": "first"}).encode()
    good = [json.dumps({"request_id": f"good-{n}", "email": ADA}).encode() for n in range(3)]
    await put_into_the_log(scene, NewRecord(shard, None, taken, HEADERS))
    assert await scene.mailed_all(["request-id-reused"]), scene.site.output()
    records = [NewRecord(shard, reason.encode(), value, HEADERS) for reason, value in values.items()]
    await put_into_the_log(scene, *records, *(NewRecord(shard, None, value) for value in good))

    for reason in values:
        assert await scene.has_dead_letters("email", 1, reason), (reason, scene.site.output())
    letters = {letter["reason"]: letter for letter in await listed(scene)}
    assert letters.keys() == values.keys()
    for reason, value in values.items():
        whole = await shown(scene, letters[reason]["id"])
        assert whole["key"] == reason
        assert [tuple(header.values()) for header in whole["headers"]] == [
            ("traceparent", HEADERS[0][1].decode()),
            ("raw", "AP8="),
        ]
        assert whole.get("value", "").encode() == value or whole["value_base64"]

    # What was wrong is mended: what can be delivered is, and the rest dies of the same again.
    scene.mails.by_recipient, scene.mails.at_content = {}, {}
    scene.mails.mails.clear()
    assert await replay(scene, "--all") == "6 dead letters sent again"
    own_id = f"{scene.site.topic}-0-{letters['request-id-reused']['offset']}"
    wanted = ["refused", "too-many-attempts", "uncertain", own_id]
    assert await scene.mailed_all(wanted), scene.site.output()
    for reason in VALUES:
        assert await scene.has_dead_letters("email", 2, reason), scene.site.output()
    assert sorted(scene.mailed()) == sorted(wanted)
