"""A wrong campaign is stopped while the mail server is down, by the commands of its page."""

import re
import shlex
from functools import partial
from pathlib import Path

from tests.faults.scene import Scene, kill
from tests.site import HERALD, eventually
from tests.smtp_server import say

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "stop-a-campaign.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
RIGHT = [f"right-{number}" for number in range(7)]
WRONG = [f"wrong-{number}" for number in range(500)]


async def herald(scene: Scene, line: str) -> str:
    """What one of the page's commands says, on this machine's topic."""
    words = shlex.split(line.replace("transactions", scene.site.topic).replace("order-1001", WRONG[0]))
    done = await scene.site.run(*HERALD, *words[1:])
    assert done.returncode == 0, done
    return done.stdout


def mail(request_id: str) -> dict[str, str]:
    return {"request_id": request_id, "key": f"k{int(request_id[6:]) % 7}", "email": "a@example.test"}


async def has_begun_to_obey(scene: Scene) -> bool:
    url = f"http://127.0.0.1:{scene.site.health_ports['email']}/metrics"
    lines = (await scene.site.http.get(url)).text.splitlines()
    return any("herald_deliveries_total" in line and 'outcome="expired"' in line for line in lines)


async def lag(scene: Scene) -> int:
    answer = await scene.site.http.get(f"{scene.site.api}/api/v1/lag")
    lags = [one for one in answer.json().get("lag", ()) if one["group"] == "email"]
    return sum(one["lag"] + one["deferred"] for one in lags) if lags else -1


async def test_none_of_a_stopped_campaign_is_mailed_and_all_that_comes_later(any_scene: Scene) -> None:
    scene = any_scene
    look, stop, status, see_lag = COMMANDS
    scene.mails.always["MAIL"] = say("421 4.3.0 down")
    scene.set(status__hours=24)
    scene.site.start("api")
    consumer = scene.site.start_consumer("email")
    assert await scene.site.ready(), scene.told()
    assert await scene.site.consumer_ready("email"), scene.told()
    await scene.post(mail(one) for one in WRONG)
    assert await scene.site.metric_reaches("email", "herald_channel_up", 0, at_most=True), scene.told()

    found = f"500 messages of {scene.site.topic} that email has not finished: would end\n"
    assert await herald(scene, look) == found
    assert "ordered" in await herald(scene, stop)
    # In the middle of obeying it, or just before, or just behind.
    assert await eventually(partial(has_begun_to_obey, scene)), scene.told()
    kill(consumer)
    scene.site.start_consumer("email")

    async def nothing_left() -> bool:
        return await lag(scene) == 0

    assert await eventually(nothing_left, 60), scene.told()
    assert "discarded" in await herald(scene, status)
    assert scene.site.topic in await herald(scene, see_lag)

    await scene.post(mail(one) for one in RIGHT)
    scene.mails.always.clear()
    assert await scene.mailed_all(RIGHT), scene.told()
    assert await eventually(nothing_left, 60), scene.told()
    assert sorted(scene.mailed()) == RIGHT
    assert await scene.dead_letters("email") == 0
