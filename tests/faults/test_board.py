"""What the board shows of an outage and of a process that was killed, over each log."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.scene import Scene
from tests.site import eventually
from tests.smtp_server import say

TIMES = {"tell": 0.5, "gone": 3.0}


async def shown(scene: Scene) -> Any:
    answer = await scene.site.http.get(f"{scene.site.api}/api/v1/board")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def email(scene: Scene) -> Any:
    board = await shown(scene)
    (topic,) = board["topics"]
    return {**topic["groups"][0], "rate_in": topic["rate_in"], "trouble": board["trouble"]}


async def comes_to(scene: Scene, is_so: Callable[[Any], bool]) -> bool:
    async def as_asked() -> bool:
        return is_so(await email(scene))

    return await eventually(as_asked, 20.0)


async def test_an_outage_is_seen_with_its_reason_and_so_is_its_end_and_a_killed_process_is_gone(
    any_scene: Scene,
) -> None:
    scene = any_scene
    scene.change(breaker_policy={"longest_pause": 0.5}, presence_times=TIMES)
    scene.site.start("api")
    consumer = scene.site.start_consumer("email")
    assert await scene.site.ready(), scene.site.output()
    assert await scene.site.consumer_ready("email"), scene.site.output()
    assert await comes_to(scene, lambda one: one["channel"]["state"] == "up"), await shown(scene)
    before = datetime.now(UTC)

    scene.mails.always["MAIL"] = say("451 4.3.0 out of order, ask postmaster@example.test")
    await scene.post([{"request_id": f"m-{n}", "email": f"m{n}@example.test"} for n in range(20)])
    assert await comes_to(scene, lambda one: one["channel"]["state"] == "down"), await shown(scene)
    down = await email(scene)
    assert (down["processes"], down["processes_down"], down["trouble"]) == (1, 1, None)
    assert "451" in down["channel"]["reason"]
    assert "postmaster@example.test" not in down["channel"]["reason"]
    since = datetime.fromisoformat(down["channel"]["since"])
    assert before - timedelta(seconds=1) < since < datetime.now(UTC)
    assert await comes_to(scene, lambda one: one["lag"] == 20 and one["oldest_unfinished_seconds"] > 0)

    del scene.mails.always["MAIL"]
    assert await comes_to(scene, lambda one: one["channel"]["state"] == "up" and one["lag"] == 0)
    back = await email(scene)
    assert datetime.fromisoformat(back["channel"]["since"]) > since
    assert back["channel"]["reason"] == ""
    assert await comes_to(scene, lambda one: (one["rate_out"] or 0) > 0), await shown(scene)

    consumer.kill()
    assert await comes_to(scene, lambda one: one["processes"] == 0), await shown(scene)
    assert (await email(scene))["channel"] == {"state": "unknown", "since": None, "reason": ""}
    history = (await scene.site.http.get(f"{scene.site.api}/api/v1/history")).json()
    (topic,) = history["topics"]
    rates = [*topic["rate_in"], *topic["groups"][0]["rate_out"]]
    assert all(rate is None or 0 <= rate <= 20 for rate in rates), history
