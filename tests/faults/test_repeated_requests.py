"""The same request again, and other requests under an id that is taken: over restarts and rebalances."""

import asyncio
import signal
from typing import Any

from tests.faults.scene import Scene
from tests.site import Site

TIMES = 10
ADA = "ada@example.test"
# One with a key, one without, one with a partition number.
REPEATED: list[dict[str, Any]] = [
    {"request_id": "with-key", "email": ADA, "key": "a"},
    {"request_id": "without-key", "email": ADA},
    {"request_id": "with-partition", "email": ADA, "partition": 1},
]


async def post(scene: Scene, times: int, mark: str) -> None:
    """All three, one after another, so often; then one more message in each partition, to wait for."""
    for _ in range(times):
        for message in REPEATED:
            answer = await scene.site.post(phone="", **message)
            assert answer.status_code == 202, answer.text
    marks = [{"request_id": f"{mark}-{part}", "email": ADA, "partition": part} for part in range(3)]
    await scene.post(marks)


async def marked(scene: Scene, mark: str) -> bool:
    return await scene.mailed_all(f"{mark}-{part}" for part in range(3))


def second_consumer(site: Site) -> str:
    site.start("consumer", "email", HERALD_CONSUMER__PORT=str(site.spare_port))
    return f"http://127.0.0.1:{site.spare_port}"


async def test_a_request_sent_ten_times_is_one_mail_before_and_after_a_restart_and_a_takeover(
    any_scene: Scene,
) -> None:
    await any_scene.start()
    first = any_scene.site.start_consumer("email")
    await post(any_scene, 4, "before")
    assert await marked(any_scene, "before"), any_scene.site.output()

    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 30) == 0
    second = any_scene.site.start_consumer("email")
    await post(any_scene, 3, "restarted")
    assert await marked(any_scene, "restarted"), any_scene.site.output()

    assert await any_scene.site.ready(second_consumer(any_scene.site)), any_scene.site.output()
    await post(any_scene, 2, "shared")
    assert await marked(any_scene, "shared"), any_scene.site.output()
    second.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(second.wait, 30) == 0
    await post(any_scene, 1, "taken-over")
    assert await marked(any_scene, "taken-over"), any_scene.site.output()

    marks = {f"{m}-{p}" for m in ("before", "restarted", "shared", "taken-over") for p in range(3)}
    assert sorted(any_scene.mailed()) == sorted(marks | {str(m["request_id"]) for m in REPEATED})


async def test_other_content_under_an_id_that_was_sent_is_a_dead_letter_and_the_first_ones_state_stays(
    any_scene: Scene,
) -> None:
    any_scene.set(status__hours=1)
    await any_scene.start("email")
    site = any_scene.site
    for message in REPEATED:
        assert (await site.post(phone="", **message)).status_code == 202
    for message in REPEATED:
        assert await any_scene.comes_to_be(str(message["request_id"]), "sent")

    for message in REPEATED:
        other = await site.post(phone="", message_body="of other content", **message)
        assert other.status_code == 202

    assert await any_scene.has_dead_letters("email", 3, "request-id-reused"), site.output()
    await any_scene.post(
        [{"request_id": f"end-{part}", "email": ADA, "partition": part} for part in range(3)]
    )
    for part in range(3):
        assert await any_scene.comes_to_be(f"end-{part}", "sent")
    # What came earlier in each partition is told of as well by now.
    for message in REPEATED:
        assert await any_scene.comes_to_be(str(message["request_id"]), "sent", seconds=1)
    assert len(any_scene.mails.mails) == 6
    assert await any_scene.dead_letters("email") == 3
