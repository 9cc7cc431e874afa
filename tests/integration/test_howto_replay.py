"""docs/howto/replay.md, followed as it stands but for the ports."""

import json
from pathlib import Path

from domain.outcome import DeadLetterReason
from tests import pages
from tests.site import Site, eventually

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "replay.md").read_text(encoding="utf-8")


async def comes_to(site: Site, state: str) -> bool:
    async def is_so() -> bool:
        answer = await site.http.get(f"{site.api}/api/v1/messages/order-1001")
        found = answer.json() if answer.status_code == 200 else {"deliveries": {}}
        return bool(found["deliveries"].get("sms", {}).get("state") == state)

    return await eventually(is_so)


async def test_a_dead_letter_is_understood_and_sent_again_as_the_page_says(sqlite_site: Site) -> None:
    die, why, look, mend, by_command, by_http, arrived = pages.blocks(TEXT, "sh")
    await sqlite_site.start_all()
    await sqlite_site.shell(die)
    assert await comes_to(sqlite_site, "dead"), sqlite_site.output()

    assert '"total":1' in await sqlite_site.shell(why)
    shown = await sqlite_site.shell(look)
    assert "+12025550143" in shown
    assert "refused" in shown
    await sqlite_site.shell(mend)
    assert (await sqlite_site.shell(by_command)).splitlines() == [
        "1 dead letter would be sent again",
        "1 dead letter sent again",
    ]
    assert json.loads(await sqlite_site.shell(by_http))["replayed"] == 0

    assert await comes_to(sqlite_site, "sent"), sqlite_site.output()
    story = await sqlite_site.shell(arrived)
    assert story.index("dead") < story.index("replayed") < story.rindex("sent")
    received = await sqlite_site.inbox()
    assert (len(received["sms"]), len(received["emails"])) == (1, 1)


def test_the_page_tells_of_each_reason() -> None:
    written = [pages.bare(reason) for reason, _ in pages.table(TEXT, "reason", "where to look")]

    assert sorted(written) == sorted(DeadLetterReason)
