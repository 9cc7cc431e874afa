"""A process that cannot go on ends itself, and its supervisor starts it again; who stands by is ready."""

import asyncio
import os
import signal
import subprocess

import pytest

from tests.faults.scene import Scene
from tests.site import eventually

SHORT = {"engine_options": {"stalled_seconds": 4.0, "measure_seconds": 0.5}}


async def consumer_below(supervisor: int) -> int:
    """The process id of the supervisor's email consumer; 0 while there is none."""
    look = ("pgrep", "-P", str(supervisor), "-f", "consumer email")
    found = await asyncio.to_thread(subprocess.run, look, capture_output=True, text=True, check=False)
    return int(found.stdout.split()[0]) if found.stdout else 0


async def post(scene: Scene, prefix: str) -> set[str]:
    """A message in each of three partitions; their ids."""
    posted = [
        {"request_id": f"{prefix}-{part}", "email": "ada@example.test", "partition": part}
        for part in range(3)
    ]
    await scene.post(posted)
    return {f"{prefix}-{part}" for part in range(3)}


async def ends_and_is_started_again(scene: Scene) -> None:
    """`herald run` as a whole: its email consumer breaks down, ends itself, and another one goes on."""
    supervisor = scene.site.start("run")
    assert await scene.site.ready(), scene.site.output()
    assert await scene.mailed_all(await post(scene, "before")), scene.site.output()
    broken = await consumer_below(supervisor.pid)

    os.kill(broken, signal.SIGUSR1)
    after: set[str] = set()

    async def is_another() -> bool:
        # The read that runs already may still bring something.
        after.update(await post(scene, f"after-{len(after)}"))
        return await consumer_below(supervisor.pid) not in {0, broken}

    assert await eventually(is_another), scene.site.output()
    assert await scene.mailed_all(after), scene.site.output()
    assert supervisor.poll() is None
    (ended,) = [line for line in scene.logged("run", "child_ended") if line["child"] == "consumer-email"]
    assert ended["how"] == "ended with exit code 1"


async def test_a_consumer_that_reads_nothing_though_there_is_more_is_started_anew(any_scene: Scene) -> None:
    any_scene.change(**SHORT)
    any_scene.site.environ["HERALD_TEST_BREAKS"] = "reading"
    await ends_and_is_started_again(any_scene)


@pytest.mark.parametrize("task", ["fetching", "coordination"])
async def test_a_consumer_whose_kafka_client_has_died_inside_is_started_anew(
    kafka_scene: Scene, task: str
) -> None:
    kafka_scene.site.environ["HERALD_TEST_BREAKS"] = task
    await ends_and_is_started_again(kafka_scene)


async def test_who_stands_by_or_has_no_partition_is_ready_and_takes_over(any_scene: Scene) -> None:
    """Four processes of a group of three partitions, or of a log that one process reads at a time."""
    site = any_scene.site
    await any_scene.start()
    spares = [site.start_spare("email") for _ in range(4)]
    for _, url in spares:
        assert await site.ready(url), site.output()

    assert await any_scene.mailed_all(await post(any_scene, "before")), site.output()
    for process, _ in spares[:-1]:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    assert await any_scene.mailed_all(await post(any_scene, "after")), site.output()
    assert len(any_scene.mails.mails) == 6
