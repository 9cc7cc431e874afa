"""A dead letter from its death to its delivery over the API, on each log with whole processes."""

from typing import Any

from tests.site import Site, eventually

PATH = "/api/v1/dead-letters"


async def story(site: Site, request_id: str, group: str) -> list[str]:
    answer = await site.http.get(f"{site.api}/api/v1/messages/{request_id}/story")
    if answer.status_code != 200:
        return []
    return [step["event"] for step in answer.json()["story"] if step["group"] in {None, group}]


async def story_comes_to(site: Site, request_id: str, group: str, *events: str) -> bool:
    async def is_so() -> bool:
        return await story(site, request_id, group) == list(events)

    return await eventually(is_so, 60.0)


async def read(site: Site, path: str) -> Any:
    answer = await site.http.get(f"{site.api}{PATH}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send_again(site: Site, **choice: Any) -> dict[str, Any]:
    answer = await site.http.post(f"{site.api}{PATH}/replay", json=choice)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_refused_message_is_counted_shown_sent_again_and_delivered_once(any_site: Site) -> None:
    await any_site.start_all()
    await any_site.outage(sms="reject")
    await any_site.post(request_id="order-1")
    assert await story_comes_to(any_site, "order-1", "sms", "accepted", "dead"), any_site.output()

    [row] = (await read(any_site, "/summary"))["dead_letters"]
    [listed] = (await read(any_site, "?group=sms"))["dead_letters"]
    whole = await read(any_site, f"/{listed['id']}")
    assert row == {"group": "sms", "topic": any_site.topic, "reason": "refused", "count": 1, "parked": 0}
    assert '"phone":"+12025550143"' in whole["value"]

    await any_site.outage(sms="up")
    looked = await send_again(any_site, group="sms", dry_run=True)
    first = await send_again(any_site, group="sms", reason="refused")
    second = await send_again(any_site, ids=[listed["id"]])
    assert [looked["replayed"], first["replayed"], second["already"]] == [1, 1, 1]

    assert await story_comes_to(any_site, "order-1", "sms", "accepted", "dead", "replayed", "sent")
    assert await story(any_site, "order-1", "email") == ["accepted", "sent"]
    assert (await read(any_site, "/summary"))["total"] == 0
    assert (await read(any_site, f"/{listed['id']}"))["replayed_by"] == "board"
    received = await any_site.inbox()
    assert (len(received["sms"]), len(received["emails"])) == (1, 1)
