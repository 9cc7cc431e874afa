"""A consumer dies at any moment, or is stopped: nothing is lost, little repeated, and keys keep order."""

import asyncio
import random
import signal

from tests.faults.scene import Scene, by_key, firsts, kill
from tests.smtp_server import HANG, say

KEYS, OF_A_KEY, WITHOUT_KEY = 8, 60, 480
CONCURRENCY, DEATHS = 8, 3


def keyed(key: str, count: int, email: str = "ada@example.test") -> list[dict[str, str]]:
    return [{"request_id": f"{key}-{number}", "key": key, "email": email} for number in range(count)]


def shuffled(draw: random.Random) -> list[list[dict[str, str]]]:
    """Messages with and without a key in handfuls: a key's in order, all else at random."""
    lanes = {f"k{number}": keyed(f"k{number}", OF_A_KEY) for number in range(KEYS)}
    lanes["free"] = [{**message, "key": ""} for message in keyed("free", WITHOUT_KEY)]
    turns = [name for name, lane in lanes.items() for _ in range(len(lane) // 5)]
    draw.shuffle(turns)
    return [[lanes[name].pop(0) for _ in range(5)] for name in turns]


async def post_slowly(scene: Scene, handfuls: list[list[dict[str, str]]]) -> None:
    for handful in handfuls:
        await scene.post(handful)
        await asyncio.sleep(0.02)


async def test_a_consumer_killed_at_random_moments_loses_nothing_and_repeats_few(any_scene: Scene) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    draw, mails = random.Random(seed), any_scene.mails
    any_scene.set(delivery__concurrency=CONCURRENCY, delivery__first_retry_seconds=0.2)
    # So often that a process that lives for a moment commits too.
    any_scene.change(engine_options={"commit_seconds": 0.05})
    mails.always["content"] = say("250 2.0.0 ok", seconds=0.01)
    await any_scene.start()
    handfuls = shuffled(draw)
    posted = {message["request_id"] for handful in handfuls for message in handful}

    # A group, so that a message that is not taken ends the test at once, and not the wait for its mail.
    async with asyncio.TaskGroup() as group:
        group.create_task(post_slowly(any_scene, handfuls))
        for death in range(1, DEATHS + 1):
            victim = any_scene.site.start_consumer("email")
            enough = len(mails.mails) + draw.randint(1, 150)
            assert await any_scene.mailed_count(enough), any_scene.told()
            # One mail in a while is put off by the server, so that some of a key wait while it dies.
            mails.next("RCPT", *[say("451 4.7.1 later")] * draw.randint(0, 3))
            await asyncio.sleep(draw.uniform(0.0, 0.2))
            kill(victim)
            ids = any_scene.mailed()
            assert len(ids) - len(set(ids)) <= death * 2 * CONCURRENCY
        any_scene.site.start_consumer("email")

    assert await any_scene.mailed_all(posted), any_scene.told()
    ids = any_scene.mailed()
    assert set(ids) == posted
    assert len(ids) - len(posted) <= DEATHS * 2 * CONCURRENCY
    first = by_key(one for one in firsts(ids) if one.startswith("k"))
    assert first == {f"k{number}": list(range(OF_A_KEY)) for number in range(KEYS)}


async def test_a_stop_waits_for_answers_and_repeats_only_what_was_not_answered_in_time(
    any_scene: Scene,
) -> None:
    any_scene.set(delivery__concurrency=8, delivery__drain_seconds=5)
    any_scene.change(retry_policy={"uncertain_waits": [0.5]})
    mails = any_scene.mails
    mails.at_content["slow@example.test"] = say("250 2.0.0 ok", seconds=2.0)
    mails.at_content["silent@example.test"] = HANG
    await any_scene.start()
    first = any_scene.site.start_consumer("email")
    slow = [{"request_id": f"slow-{number}", "email": "slow@example.test"} for number in range(6)]
    silent = [{"request_id": "silent-0", "email": "silent@example.test"}]
    await any_scene.post([*slow, *silent])
    await asyncio.wait_for(mails.saw("content", 7), 30)

    first.send_signal(signal.SIGTERM)
    await any_scene.post(keyed("later", 20))
    assert await asyncio.to_thread(first.wait, 15) == 0
    assert mails.count("RCPT") == 7  # it took nothing new
    del mails.at_content["silent@example.test"]
    any_scene.site.start_consumer("email")

    later = {f"later-{number}" for number in range(20)}
    assert await any_scene.mailed_all({"silent-0", *later})
    ids = any_scene.mailed()
    assert sorted(ids) == sorted([*(f"slow-{number}" for number in range(6)), "silent-0", *later])
    assert len(any_scene.tries("slow@example.test")) == 6
    assert len(any_scene.tries("silent@example.test")) == 2
