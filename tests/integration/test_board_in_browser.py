"""The board as an operator meets it, over a stand-in for the API: every course the day may take."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from entrypoints.plain_http import Answer, json_answer
from tests.board_server import (
    BoardServer,
    calm,
    channel,
    group,
    letter,
    many,
    outage,
    process,
    serving,
    time_text,
    topic,
)
from tests.browser import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIEWS = ("", "#message/NAME", "#dead-letters", "#dead-letters/NAME", "#consumers")
PHONE = {"width": 360, "height": 640}
AWAY = "ERR_CONNECTION|ERR_EMPTY|ERR_SOCKET"
NOT_FOUND = "status of 404"
NASTY = "<img src=x onerror=alert(1)><script>alert(1)</script>"
SECRETS = {"value": json.dumps({"email": "ada@example.test", "message_body": "Paid."}), "headers": []}


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[BoardServer]:
    yield BoardServer()


@pytest_asyncio.fixture(loop_scope="module")
async def url(server: BoardServer, visitor: Visitor) -> AsyncIterator[str]:
    async with serving(server) as one:
        yield one
        await visitor.leave()


def event(name: str, of: str | None, seconds_ago: float, **more: Any) -> dict[str, Any]:
    told = {"at": time_text(seconds_ago), "group": of, "event": name, "attempts": 0, "uncertain_attempts": 0}
    return {**told, "reason": None, "provider_id": None, "due_at": None, "dead_letter": None, **more}


def delivery(state: str, **more: Any) -> dict[str, Any]:
    told = {"state": state, "attempts": 1, "uncertain_attempts": 0, "reason": None, "provider_id": None}
    return {**told, "updated_at": time_text(1), **more}


def story(request_id: str, deliveries: dict[str, Any], *events: dict[str, Any]) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "topic_name": "transactions",
        "partition": 3,
        "offset": 42,
        "accepted_at": time_text(60),
        "as_of": time_text(),
        "deliveries": deliveries,
        "story": [event("accepted", None, 60), *events],
    }


# How it is ----------------------------------------------------------------------------------------


async def test_an_outage_shows_without_a_reload_and_goes_again(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    page = await visitor.open(url)
    await expect(page.locator("#state")).to_have_text("All channels up, nothing waits.")
    await expect(page).to_have_title("all up · Herald")
    calm_icon = await page.locator("link[rel=icon]").get_attribute("href")

    server.topics = outage()
    await expect(page.locator("#state")).to_contain_text("Email is down since")
    await expect(page).to_have_title("email down · Herald")
    tile = page.get_by_role("region", name="Channel email")
    await expect(tile).to_contain_text("connection refused")
    await expect(tile).to_contain_text("1,204")
    assert await page.locator("link[rel=icon]").get_attribute("href") != calm_icon
    await expect(page.locator("#spoken")).to_contain_text("Email is down since")

    server.topics = calm()
    await expect(page.locator("#state")).to_have_text("All channels up, nothing waits.")


async def test_what_changes_all_the_time_is_not_read_aloud(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    page = await visitor.open(url)
    await expect(page.locator("#state")).to_contain_text("nothing waits")
    server.topics = [topic("transactions", group("email", lag=7))]

    await expect(page.locator("#state")).to_contain_text("7 messages are on the way")
    await expect(page.locator("#spoken")).to_have_text("")


async def test_an_api_that_is_away_is_told_and_the_page_goes_on_by_itself(
    visitor: Visitor, server: BoardServer
) -> None:
    visitor.allow(AWAY)
    async with AsyncExitStack() as first:
        url = await first.enter_async_context(serving(server))
        page = await visitor.open(url)
        await expect(page.locator("#state")).to_contain_text("nothing waits")
        await first.aclose()

        await expect(page.locator("#banner")).to_be_visible()
        await expect(page.locator("#state")).to_contain_text("Herald's API does not answer since")
    async with serving(server, int(url.rpartition(":")[2])):
        await expect(page.locator("#banner")).to_be_hidden()
        await expect(page.locator("#state")).to_have_text("All channels up, nothing waits.")


@pytest.mark.parametrize(
    ("instead", "sentence"),
    [
        (
            Answer(status=502, body=b"<h1>Bad Gateway</h1>", content_type="text/html"),
            "does not tell how it is since",
        ),
        (Answer(status=500, body=b"{}"), "does not tell how it is since"),
        (json_answer({"version": "9.9.9", "anew": "otherwise"}), "Herald is 9.9.9 now: reload this page."),
    ],
)
async def test_what_stood_there_does_not_stay_when_the_board_is_not_told(
    visitor: Visitor, server: BoardServer, url: str, instead: Answer, sentence: str
) -> None:
    # Behind a proxy "All channels up, nothing waits." went on standing there while the API was dead.
    visitor.allow("status of 50|console: TypeError")
    page = await visitor.open(url)
    await expect(page.locator("#state")).to_contain_text("nothing waits")

    server.instead = instead
    await expect(page.locator("#state")).to_contain_text(sentence)
    await expect(page.locator("#state")).not_to_contain_text("nothing waits")
    server.instead = None

    await expect(page.locator("#state")).to_have_text("All channels up, nothing waits.")


async def test_another_version_of_herald_is_told_to_a_page_that_stays_open(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    page = await visitor.open(url)
    await expect(page.locator("#state")).to_contain_text("nothing waits")

    server.version = "0.2.0"

    await expect(page.locator("#state")).to_have_text(
        "All channels up, nothing waits. Herald is 0.2.0 now: reload this page."
    )


async def test_a_visitor_s_clock_may_be_wrong(visitor: Visitor, url: str) -> None:
    page = await visitor.open(url)
    await page.clock.set_system_time(time.time() + 7200)
    await page.reload()

    await expect(page.locator(".updated time")).to_have_text("now")


async def test_letters_opened_by_their_address_can_be_narrowed(visitor: Visitor, url: str) -> None:
    page = await visitor.open(f"{url}/#dead-letters")

    await expect(page.get_by_label("Topic").locator("option")).to_have_text(["all", "transactions"])
    await expect(page.get_by_label("Group").locator("option")).to_have_text(["all", "email", "sms"])


async def test_what_is_slow_to_read_keeps_nobody_from_hearing_of_an_outage(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    visitor.allow("ERR_ABORTED|" + AWAY)
    server.hanging = {"/api/v1/dead-letters/summary", "/api/v1/history"}
    page = await visitor.open(url)
    await expect(page.locator("#state")).to_contain_text("nothing waits")
    server.topics = outage()

    await expect(page.locator("#state")).to_contain_text("Email is down since")


async def test_a_log_that_is_away_is_told_in_words_and_not_in_a_banner(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    visitor.allow("status of 503")
    server.trouble = "Kafka at 127.0.0.1:9092 does not answer"
    server.refusing = {"/api/v1/dead-letters/summary", "/api/v1/history"}
    page = await visitor.open(url)

    await expect(page.locator("#state")).to_contain_text("The log does not answer (seen since")
    await expect(page.locator("#state")).to_contain_text(server.trouble)
    await expect(page.locator("#banner")).not_to_be_visible()


async def test_thirty_topics_can_be_narrowed_to_what_is_looked_for(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    server.topics = many()
    server.topics[7]["groups"][1]["lag"] = 3
    page = await visitor.open(url)
    panels = page.locator(".topic")
    await expect(panels).to_have_count(30)
    await page.get_by_label("only where something waits or fails").check()
    await expect(panels.filter(visible=True)).to_have_count(1)
    await expect(page.get_by_text("1 of 30 topics")).to_be_visible()
    await page.get_by_label("only where something waits or fails").uncheck()
    await page.get_by_label("Only topics whose name has").fill("TOPIC-2")

    await expect(panels.filter(visible=True)).to_have_count(11)


async def test_charts_tell_their_values_by_keyboard_and_as_a_table(visitor: Visitor, url: str) -> None:
    page = await visitor.open(url)
    chart = page.get_by_role("img", name="Lag, the last hour: email now")
    await chart.focus()
    legend = page.locator("figure", has=chart).locator(".legend")
    newest = await legend.text_content()
    for _ in range(10):
        await page.keyboard.press("ArrowLeft")
    assert await legend.text_content() != newest

    await page.get_by_role("button", name="Values as a table").click()
    table = page.get_by_role("dialog").get_by_role("table")
    await expect(table.get_by_role("row")).to_have_count(61)
    await expect(table.get_by_role("columnheader", name="sms deferred")).to_be_visible()


async def test_each_process_is_told_and_a_group_without_one_is_named(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    server.topics = [topic("transactions", group("email"), group("sms", processes=0))]
    waiting = "standing by: another process has the file"
    server.consumers = [process("email"), process("email", pid=99, waiting=waiting)]
    page = await visitor.open(f"{url}/#consumers")

    row = page.get_by_role("row", name="99")
    await expect(row).to_contain_text("node-1")
    await expect(row).to_contain_text(waiting)
    await expect(page.get_by_text("No sms consumer runs. Start one: herald consumer sms")).to_be_visible()


# A message ----------------------------------------------------------------------------------------


async def test_a_message_is_found_by_its_id_and_its_story_grows_by_itself(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    visitor.allow(NOT_FOUND)
    page = await visitor.open(url)
    await page.keyboard.press("/")
    await page.keyboard.type(" order-1001 ")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No message with this id is known, or not yet.")).to_be_visible()
    await expect(page).to_have_url(f"{url}/#message/order-1001")

    server.stories["order-1001"] = story("order-1001", {"sms": delivery("accepted")})
    card = page.get_by_role("region", name="Delivery by sms")
    await expect(card).to_contain_text("In the log, not tried yet.")

    tried = event("retrying", "sms", 9, attempts=1, reason="429")
    sent = event("sent", "sms", 8, attempts=2, provider_id="SM7fd795")
    server.stories["order-1001"] = story(
        "order-1001", {"sms": delivery("sent", provider_id="SM7fd795")}, tried, sent
    )
    await expect(card).to_contain_text("The server accepted it.")
    steps = page.locator(".step")
    await expect(steps).to_contain_text(
        [
            "Accepted",
            "sms Try 1 failed for now; it is tried again.429",
            "Sent at try 2: the server accepted it",
        ]
    )
    await expect(page).to_have_title("Message order-1001 · all up · Herald")


async def test_a_story_that_ended_badly_leads_to_the_dead_letter(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    server.letters = [letter(42)]
    dead = event("dead", "email", 5, reason="refused", dead_letter="transactions.email-3-42")
    server.stories["order-42"] = story("order-42", {"email": delivery("dead", reason="refused")}, dead)
    page = await visitor.open(f"{url}/#message/order-42?topic=transactions")
    await page.get_by_role("region", name="Delivery by email").get_by_role("link").click()

    await expect(page.get_by_role("heading", name="Dead letter transactions.email-3-42")).to_be_focused()


# Dead letters -------------------------------------------------------------------------------------


async def test_one_letter_is_shown_without_personal_data_until_it_is_asked_for(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    server.letters, server.whole = [letter(42)], SECRETS
    page = await visitor.open(f"{url}/#dead-letters")
    await page.get_by_role("link", name="Show transactions.email-3-42").click()
    await expect(page.get_by_text("550 5.1.1 no such user here")).to_be_visible()
    assert "ada@example.test" not in await page.content()

    await page.get_by_role("button", name="Show personal data").click()

    await expect(page.get_by_text("ada@example.test")).to_be_visible()


async def test_letters_are_narrowed_by_reason_and_paged(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    other = letter(99, id="transactions.sms-1-99", group="sms", reason="too-many-attempts")
    server.letters = [*(letter(number) for number in range(30)), other]
    page = await visitor.open(f"{url}/#dead-letters")
    rows = page.get_by_role("region", name="The letters").locator("tbody tr")
    await expect(rows).to_have_count(25)
    await page.get_by_role("button", name="Show more").click()
    await expect(rows).to_have_count(31)
    await page.get_by_label("Reason", exact=True).select_option("too-many-attempts")
    await expect(rows).to_have_count(1)

    await expect(page).to_have_url(f"{url}/#dead-letters?reason=too-many-attempts")
    await expect(page.get_by_text("31 dead letters wait", exact=True)).to_be_visible()


async def test_all_of_a_filter_are_sent_again_after_it_was_asked_how_many(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    server.letters = [letter(number) for number in range(2500)]
    server.parked = 2
    page = await visitor.open(f"{url}/#dead-letters?reason=refused")
    await page.get_by_role("button", name="Send these again …").click()
    dialog = page.get_by_role("dialog", name="Send 2,500 dead letters again?")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await expect(dialog).to_contain_text("Left alone: 2 parked.")
    assert server.replays == []
    await dialog.get_by_role("button", name="Send 2,500 again").click()

    await expect(dialog).to_contain_text("2,500 sent again, 2 parked")
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.get_by_text("No dead letter is like that.")).to_be_visible()
    assert len({json.dumps(asked) for asked in server.replays}) == 1
    assert len(server.replays) == 3


async def test_nothing_is_sent_again_where_the_question_is_left_with_escape(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    server.letters = [letter(1)]
    page = await visitor.open(f"{url}/#dead-letters")
    await page.get_by_role("button", name="Send transactions.email-3-1 again").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")

    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert server.replays == []


async def test_a_replay_that_fails_says_why_and_what_to_do(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    server.letters, server.failing = [letter(1)], "The log does not answer."
    page = await visitor.open(f"{url}/#dead-letters/transactions.email-3-1")
    await page.get_by_role("button", name="Send again …").click()
    await page.get_by_role("button", name="Send 1 again").click()

    await expect(page.get_by_role("dialog")).to_contain_text(
        "1 failed. The log does not answer. Mend that and begin anew: it goes on."
    )


# For everybody ------------------------------------------------------------------------------------


async def test_the_keyboard_alone_leads_everywhere(visitor: Visitor, server: BoardServer, url: str) -> None:
    server.letters = [letter(1)]
    page = await visitor.open(url)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="To the content")).to_be_focused()
    await page.keyboard.press("d")
    await expect(page.get_by_role("heading", name="Dead letters", exact=True)).to_be_focused()
    await page.keyboard.press("c")
    await expect(page.get_by_role("heading", name="Consumers")).to_be_focused()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("b")

    await expect(page.locator("nav [aria-current]")).to_have_text("Board")


async def test_a_phone_needs_no_sideways_scrolling_even_for_long_names(
    visitor: Visitor, server: BoardServer, url: str
) -> None:
    long = "x" * 120
    down = channel("down", 60.0, "r" * 400)
    server.topics = [
        topic(long, group("email", lag=123_456_789, channel=down, processes_down=1), group("sms")),
        topic("t", group("email")),
    ]
    server.consumers = [process("email", host=long, waiting=long, topics=[{"name": long, "partitions": 6}])]
    server.letters = [letter(1, id="NAME", request_id=long, topic=long, key=long, error=long)]
    server.stories["NAME"] = story("NAME", {"email": delivery("dead", reason=long)})
    page = await visitor.open(url, viewport=PHONE, color_scheme="dark", reduced_motion="reduce")
    await expect(page.locator("#state")).to_contain_text("Email is down")

    assert [view for view in VIEWS if not await fits(page, view, long)] == []


async def fits(page: Page, view: str, shown: str) -> bool:
    """Whether nothing must be scrolled sideways once that is shown."""
    await page.evaluate("(hash) => { location.hash = hash; }", view)
    await expect(page.locator("#view")).to_contain_text(shown)
    return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


async def test_what_others_wrote_is_shown_as_text(visitor: Visitor, server: BoardServer, url: str) -> None:
    server.topics = [topic(NASTY, group(NASTY, channel=channel("down", 1.0, NASTY)))]
    server.consumers = [process(NASTY, host=NASTY, waiting=NASTY, version=NASTY)]
    server.letters = [
        letter(1, id="NAME", request_id=NASTY, key=NASTY, reason=NASTY, error=NASTY, group=NASTY)
    ]
    server.stories["NAME"] = story("NAME", {NASTY: delivery("dead", reason=NASTY, provider_id=NASTY)})
    page = await visitor.open(url)

    assert [await elements(page, view, NASTY, "img, main script") for view in VIEWS] == [0] * len(VIEWS)


async def elements(page: Page, view: str, shown: str, selector: str) -> int:
    """How many there are of these once that is shown."""
    await page.evaluate("(hash) => { location.hash = hash; }", view)
    await expect(page.locator("#view")).to_contain_text(shown)
    return await page.locator(selector).count()


async def test_the_page_is_light_and_asks_little(visitor: Visitor, server: BoardServer, url: str) -> None:
    page = await visitor.open(url)
    await expect(page.locator("figure .line").first).to_be_visible()
    body = (await page.request.get(url)).body

    assert len(await body()) < 110_000  # bytes, uncompressed
    assert server.asked.count("/api/v1/history") == 1
    assert server.asked.count("/api/v1/dead-letters/summary") == 1
