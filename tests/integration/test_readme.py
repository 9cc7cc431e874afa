"""The README's examples, run as they stand but for the ports."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from tests.site import Site

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def on(site: Site, text: str) -> str:
    return text.replace("http://127.0.0.1:8080", site.api).replace("http://127.0.0.1:8025", site.inbox_url)


async def run(*command: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


async def test_the_examples_do_what_the_readme_says(sqlite_site: Site) -> None:
    await sqlite_site.start_all()
    produce, look, outage, kafka = blocks("sh")
    [python] = blocks("python")
    [printed] = blocks("text")

    answer = await run("sh", "-c", on(sqlite_site, produce))
    assert '"topic_name":"transactions"' in answer
    assert await sqlite_site.arrived(emails=1, sms=1)
    assert "Transaction Successful" in await run("sh", "-c", on(sqlite_site, look))

    assert await run(sys.executable, "-c", on(sqlite_site, python)) == printed
    assert '"email":"down"' in await run("sh", "-c", on(sqlite_site, outage.splitlines()[0]))
    assert '"email":"up"' in await run("sh", "-c", on(sqlite_site, outage.splitlines()[1]))
    assert await sqlite_site.arrived(emails=4, sms=1)

    names = set(re.findall(r"HERALD_\w+", kafka))
    checked = await run(
        "sh", "-c", kafka.split(".venv")[0] + f"{sys.executable} -P -m entrypoints.cli config show --json"
    )
    assert {name for name in names if f"environment {name}" not in checked} == set()
