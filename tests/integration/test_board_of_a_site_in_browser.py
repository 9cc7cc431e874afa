"""The board over real processes: an outage, a dead letter sent again, a story, keys; once on Kafka."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from hashlib import sha256
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser import Visitor
from tests.free_ports import free_ports
from tests.site import Site, kafka_log, site, sqlite_log

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON = 30_000  # ms: the breaker's pauses grow, and processes tell every 5 s
TOPICS = '[{"name": "transactions"}, {"name": "refunds", "partitions": 1, "groups": ["email"]}]'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """`herald run`, shared by all tests here: each leaves its channels up."""
    folder = tmp_path_factory.mktemp("site")
    async with site(folder, {**sqlite_log(), "HERALD_TOPICS": TOPICS}) as one:
        one.start("run")
        assert await one.ready(), one.output()
        assert await one.inbox_ready(), one.output()
        yield one


async def shows(page: Page, text: str) -> None:
    await expect(page.locator("#state")).to_contain_text(text, timeout=SOON)


async def test_an_outage_is_seen_without_a_reload_and_goes_again(visitor: Visitor, running: Site) -> None:
    page = await visitor.open(running.api)
    await shows(page, "All channels up, nothing waits.")

    await running.outage(email="down")
    await running.post_many(5, "outage")
    await shows(page, "Email is down since")
    await shows(page, "5 messages wait; they are sent when it is back.")
    tile = page.get_by_role("region", name="Channel email")
    await expect(tile.locator(".chip")).to_have_text("down")
    await expect(page.get_by_role("region", name="Channel sms").locator(".chip")).to_have_text("up")
    await expect(page).to_have_title("email down · Herald")

    await running.outage(email="up")
    await shows(page, "All channels up, nothing waits.")


async def test_a_dead_letter_is_seen_shown_and_sent_again_and_its_mail_arrives(
    visitor: Visitor, running: Site
) -> None:
    page = await visitor.open(f"{running.api}/#dead-letters")
    await expect(page.get_by_text("No dead letter waits.").last).to_be_visible()
    await running.outage(email="reject")
    await running.post_many(1, "refused", email="grace@example.test")
    letters = page.get_by_role("region", name="The letters")
    await expect(letters.get_by_role("link", name="refused0")).to_be_visible(timeout=SOON)
    await letters.get_by_role("link", name="Show").click()
    await page.get_by_role("button", name="Show personal data").click()
    await expect(page.get_by_text("grace@example.test")).to_be_visible()

    await running.outage(email="up")
    await page.get_by_role("button", name="Send again …").click()
    await expect(page.get_by_role("dialog", name="Send 1 dead letter again?")).to_be_visible()
    before = (await running.inbox(1))["totals"]["emails"]
    await page.get_by_role("button", name="Send 1 again").click()
    await expect(page.get_by_role("dialog")).to_contain_text("1 sent again")
    await page.get_by_role("button", name="Close").click()

    assert await running.arrived(before + 1, 0)
    await page.get_by_role("link", name="The message's story").click()
    await expect(page.locator(".step")).to_contain_text(
        ["Accepted", "it is a dead letter now", "Put back from the dead letters", "Sent"], timeout=SOON
    )


async def test_the_processes_are_those_that_run(visitor: Visitor, running: Site) -> None:
    page = await visitor.open(f"{running.api}/#consumers")

    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("transactions 6, refunds 1")


async def test_a_key_for_some_topics_opens_the_board_and_shows_these_alone(
    visitor: Visitor, running: Site
) -> None:
    visitor.allow("status of 401")
    keys = running.folder / "keys"
    keys.write_text(f"shop {sha256(b'open-sesame').hexdigest()} refunds\n", encoding="utf-8")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    running.start("api", HERALD_API__PORT=str(port), HERALD_API__KEYS_FILE=str(keys))
    assert await running.ready(url), running.output()
    page = await visitor.open(f"{url}/#consumers")
    await page.get_by_label("Key").fill("open-sesame")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Consumers")).to_be_visible()
    await page.keyboard.press("b")

    await expect(page.get_by_role("region", name="Topic refunds")).to_be_visible()
    await expect(page.get_by_role("region", name="Topic transactions")).to_have_count(0)
    await page.get_by_role("button", name="Forget key").click()
    await expect(page.get_by_label("Key")).to_be_focused()


@pytest.mark.kafka
async def test_the_board_over_kafka(
    visitor: Visitor, tmp_path_factory: pytest.TempPathFactory, kafka_address: str
) -> None:
    visitor.allow("status of (404|503)")  # until what is read beside the log has caught up
    async with AsyncExitStack() as stack:
        log = kafka_log(kafka_address, f"board-{uuid4().hex[:8]}")
        one = await stack.enter_async_context(site(tmp_path_factory.mktemp("kafka"), log))
        for command in ("inbox", "api"):
            one.start(command)
        one.start_consumer("sms")
        assert await one.ready(), one.output()
        assert await one.consumer_ready("sms"), one.output()
        page = await visitor.open(one.api)
        await one.post_many(3, "on-kafka")

        await shows(page, "No email consumer runs: 3 messages wait. Start “herald consumer email”.")
        await expect(page.get_by_role("region", name="Channel sms")).to_contain_text("works since")
        await page.keyboard.press("/")
        await page.keyboard.type("on-kafka2")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("region", name="Delivery by sms")).to_contain_text(
            "The server accepted it."
        )
