"""A recipient who gets 451 for long: only its own key waits for it, and no process's end forgets it."""

import asyncio
import signal

import pytest

from tests.faults.scene import Scene, by_key, kill
from tests.site import eventually
from tests.smtp_server import say

# Waits of at least 1, 2, 4 and 4 s: from the third try on longer than any process takes to take over.
FIRST_RETRY, LONGEST_RETRY = 2.0, 8.0
LATER = say("451 4.7.1 greylisted, come again")


@pytest.fixture
def scene_that_defers(any_scene: Scene) -> Scene:
    any_scene.set(
        delivery__first_retry_seconds=FIRST_RETRY,
        delivery__max_retry_seconds=LONGEST_RETRY,
        delivery__max_attempts=5,
    )
    any_scene.change(retry_policy={"defer_after_seconds": 2.0})
    any_scene.mails.by_recipient = {"grey@example.test": LATER, "never@example.test": LATER}
    return any_scene


def messages(prefix: str, count: int, **fields: object) -> list[dict[str, object]]:
    return [{"request_id": f"{prefix}-{number}", "partition": 0, **fields} for number in range(count)]


async def lag_is(scene: Scene, count: int) -> bool:
    async def reached() -> bool:
        return await scene.site.metric("email", "herald_lag_messages") == count

    return await eventually(reached)


async def test_what_is_put_off_holds_neither_the_position_nor_others_and_survives_every_process(
    scene_that_defers: Scene,
) -> None:
    scene, mails = scene_that_defers, scene_that_defers.mails
    await scene.start()
    first = scene.site.start_consumer("email")
    await scene.post(messages("never", 1, key="never", email="never@example.test"))
    await scene.post(messages("grey", 5, key="grey", email="grey@example.test"))
    for handful in range(6):
        await scene.post(messages(f"other{handful}", 500, email="ada@example.test"))

    # All others pass, and the position with them, while six of the same partition wait.
    others = {f"other{handful}-{number}" for handful in range(6) for number in range(500)}
    assert await scene.mailed_all(others), scene.site.output()
    assert await scene.tried("never@example.test", 3)
    assert await lag_is(scene, 0)
    assert set(scene.mailed()) == others

    # Killed after the third try: the fourth comes when it is due, not when the next process is there.
    await asyncio.sleep(0.5)
    kill(first)
    second = scene.site.start_consumer("email")
    assert await scene.tried("never@example.test", 4)
    assert await scene.tried("grey@example.test", 4)
    # The last try, seconds from now, is taken: whichever process is there by then.
    del mails.by_recipient["grey@example.test"]
    # Stopped while another one stands by, or shares the partitions: likewise.
    scene.site.start("consumer", "email", HERALD_CONSUMER__PORT=str(scene.site.spare_port))
    assert await scene.site.ready(f"http://127.0.0.1:{scene.site.spare_port}"), scene.site.output()
    second.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(second.wait, 30) == 0

    assert await scene.mailed_all({f"grey-{number}" for number in range(5)})
    assert await scene.tried("never@example.test", 5)
    for recipient in ("never@example.test", "grey@example.test"):
        tries = scene.tries(recipient)
        assert tries[3] - tries[2] >= 0.99 * LONGEST_RETRY / 2
        assert tries[4] - tries[3] >= 0.99 * LONGEST_RETRY / 2
    # Key order, each once; and the other key's one ended after all its attempts, and not one more.
    ids = scene.mailed()
    assert by_key(one for one in ids if one.startswith("grey"))["grey"] == [0, 1, 2, 3, 4]
    assert len(ids) == len(others) + 5

    async def has_ended() -> bool:
        return [line["reason"] for line in scene.logged("consumer-email", "dead_letter")] == [
            "too-many-attempts"
        ]

    assert await eventually(has_ended)
    assert len(scene.tries("never@example.test")) == 5
