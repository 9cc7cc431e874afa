"""The README's examples, run as they stand but for the ports."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.site import HERALD, Site

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def on(site: Site, text: str) -> str:
    return text.replace("http://127.0.0.1:8080", site.api).replace("http://127.0.0.1:8025", site.inbox_url)


async def run(one: Site, *command: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=one.folder, env=one.environ, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def sh(one: Site, script: str) -> str:
    return await run(one, "sh", "-c", on(one, script).replace(".venv/bin/herald", shlex.join(HERALD)))


async def test_the_five_minutes_go_as_the_readme_says(sqlite_site: Site) -> None:
    await sqlite_site.start_all()
    produce, down, up, story, doctor, _ = blocks("sh")
    [python] = blocks("python")
    [printed] = blocks("text")[:1]

    answer = await sh(sqlite_site, produce)
    assert '"request_id":"order-1001","topic_name":"transactions"' in answer
    assert json.loads(answer).keys() == json.loads(blocks("json")[0]).keys()
    assert await sqlite_site.arrived(emails=1, sms=1)

    assert await run(sqlite_site, sys.executable, "-c", on(sqlite_site, python)) == printed
    assert '"email":"down"' in await sh(sqlite_site, down)
    assert '"email":"up"' in await sh(sqlite_site, up)
    assert await sqlite_site.arrived(emails=4, sms=1)

    assert "sent" in await sh(sqlite_site, story)
    assert "ok" in await sh(sqlite_site, doctor)


async def test_the_settings_for_kafka_are_real_ones(sqlite_site: Site) -> None:
    kafka = blocks("sh")[-1]
    names = set(re.findall(r"HERALD_\w+", kafka))

    checked = await sh(sqlite_site, kafka.split(".venv")[0] + ".venv/bin/herald config show --json")

    assert {name for name in names if f"environment {name}" not in checked} == set()
