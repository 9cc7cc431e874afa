"""The README's examples, run as they stand but for the ports."""

import re
import sys
from pathlib import Path

from tests.site import Site

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


async def test_the_five_minutes_go_as_the_readme_says(sqlite_site: Site) -> None:
    await sqlite_site.start_all()
    produce, down, up, story, doctor, _ = blocks("sh")
    [python] = blocks("python")
    [printed] = blocks("text")[:1]

    answer = await sqlite_site.shell(produce)
    # The partition, too: it is the key's.
    assert answer.strip() == blocks("json")[0].strip()
    assert await sqlite_site.arrived(emails=1, sms=1)

    assert await sqlite_site.printed(sys.executable, "-c", python) == printed
    assert '"email":"down"' in await sqlite_site.shell(down)
    assert '"email":"up"' in await sqlite_site.shell(up)
    assert await sqlite_site.arrived(emails=4, sms=1)

    assert "sent" in await sqlite_site.shell(story)
    assert "ok" in await sqlite_site.shell(doctor)


async def test_the_settings_for_kafka_are_real_ones(sqlite_site: Site) -> None:
    kafka = blocks("sh")[-1]
    names = set(re.findall(r"HERALD_\w+", kafka))

    checked = await sqlite_site.shell(kafka.split(".venv")[0] + ".venv/bin/herald config show --json")

    assert {name for name in names if f"environment {name}" not in checked} == set()
