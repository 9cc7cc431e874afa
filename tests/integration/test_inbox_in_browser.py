"""The inbox's page as a person meets it, in a real browser."""

import asyncio
import re
from collections.abc import AsyncIterator
from email.message import EmailMessage

import aiosmtplib
import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect

from entrypoints.http_port import HttpPort
from entrypoints.inbox import Inbox, InboxOptions
from entrypoints.inbox_http import InboxApi
from entrypoints.inbox_store import InboxStore, ReceivedMail
from entrypoints.listening import listen_on, port_of
from entrypoints.plain_http import asgi_app
from tests.browser import Visitor
from tests.plain_client import plain_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = {"width": 360, "height": 640}
AWAY = "ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET"


class Scene:
    """An inbox, and those who send to it."""

    def __init__(self, inbox: Inbox) -> None:
        self.ports = inbox.ports
        self.url = f"http://127.0.0.1:{inbox.ports.http}/"

    async def mail(self, subject: str, text: str = "", html: str = "", to: str = "ada@example.com") -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "Shop <shop@example.com>", to, subject
        mail["Message-ID"] = "<order-1.transactions@example.com>"
        mail.set_content(text)
        if html:
            mail.add_alternative(html, subtype="html")
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=self.ports.smtp) as smtp:
            await smtp.send_message(mail)

    async def text(self, body: str) -> None:
        form = {"To": "+12025550143", "From": "+15005550006", "Body": body}
        async with plain_client(f"http://127.0.0.1:{self.ports.sms}", auth=("AC1", "x")) as provider:
            answer = await provider.post(
                "/2010-04-01/Accounts/AC1/Messages.json", data=form, headers={"Idempotency-Key": "order-1.t"}
            )
        answer.raise_for_status()


@pytest_asyncio.fixture(loop_scope="module")
async def scene(visitor: Visitor) -> AsyncIterator[Scene]:
    async with Inbox(InboxOptions(smtp_port=0, sms_port=0, http_port=0)) as inbox:
        yield Scene(inbox)
        await visitor.leave()


async def test_a_mail_and_a_text_show_up_while_the_page_is_open(visitor: Visitor, scene: Scene) -> None:
    page = await visitor.open(scene.url)
    await expect(page.locator("#empty")).to_contain_text("Nothing has arrived yet")
    await scene.mail("Your payment arrived", "It is 42.00 EUR.")
    await expect(page.locator(".row")).to_have_count(1)
    await scene.text("Transaction Successful\nThank you")

    await expect(page.locator(".row")).to_have_count(2)
    await expect(page.locator(".row .subject")).to_have_text(
        ["Transaction Successful", "Your payment arrived"]
    )
    await expect(page.locator("#totals")).to_have_text("1 mail, 1 text")
    await expect(page).to_have_title("(2) Herald inbox")
    await expect(page.locator("#empty")).to_be_hidden()


async def test_a_text_is_shown_with_its_segments_and_its_key(visitor: Visitor, scene: Scene) -> None:
    await scene.text("ж" * 71)
    page = await visitor.open(scene.url)
    await page.locator(".row").click()

    await expect(page.locator("#opened h1")).to_have_text("Text to +12025550143")
    await expect(page.locator("#opened dl")).to_contain_text("2 segments: 71 characters of UCS-2")
    await expect(page.locator("#opened dl")).to_contain_text("order-1.t")
    await expect(page.locator(".bubble")).to_have_text("ж" * 71)
    await expect(page).to_have_title("Herald inbox")


async def test_the_search_finds_in_everything_held_and_keeps_to_it_while_more_arrives(
    visitor: Visitor, scene: Scene
) -> None:
    await scene.mail("one", "with a needle in it")
    await scene.mail("two", "hay")
    page = await visitor.open(scene.url)
    await expect(page.locator(".row")).to_have_count(2)
    await page.keyboard.press("/")
    await page.keyboard.type("needle EXAMPLE.com")
    await expect(page.locator(".row .subject")).to_have_text(["one"])
    await scene.mail("three", "hay")
    await scene.mail("four", "another needle")
    await expect(page.locator(".row .subject")).to_have_text(["four", "one"])
    await page.get_by_label("Search all messages").fill("nowhere")
    await expect(page.locator("#empty")).to_contain_text("Nothing matches")
    await page.get_by_label("Search all messages").fill("needle")
    await expect(page.locator(".row")).to_have_count(2)
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.locator("#opened h1")).to_have_text("four")
    await page.get_by_role("button", name="Texts").click()
    await page.keyboard.press("/")
    await page.keyboard.press("Escape")

    await expect(page.locator("#empty")).to_contain_text("None of these")


async def test_a_mail_is_seen_as_html_text_source_and_headers(visitor: Visitor, scene: Scene) -> None:
    await scene.mail("Grüße", "plain words", "<h1>Rendered</h1>")
    page = await visitor.open(scene.url, permissions=["clipboard-read", "clipboard-write"])
    await page.locator(".row").click()
    await expect(page.frame_locator("iframe").locator("h1")).to_have_text("Rendered")
    views = page.get_by_role("group", name="View")
    await views.get_by_text("Text").click()
    await expect(page.locator("#opened .body")).to_have_text("plain words")
    await views.get_by_text("Source").click()
    await expect(page.locator("#opened .body")).to_contain_text("Subject: =?utf-8?")
    await views.get_by_text("Headers").click()
    await expect(page.locator("#opened tbody tr", has_text="Subject")).to_contain_text("Grüße")
    await page.get_by_role("button", name="Copy the Message-ID").click()
    await expect(page.locator("#toasts")).to_contain_text("Copied the Message-ID")
    async with page.expect_download() as download:
        await page.get_by_text("Download").click()

    assert await page.evaluate("navigator.clipboard.readText()") == "<order-1.transactions@example.com>"
    assert (await download.value).suggested_filename == "1.eml"


async def test_nothing_in_a_mail_runs_or_calls_home(visitor: Visitor, scene: Scene) -> None:
    calls: list[str] = []

    async def called(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append("somebody connected")
        writer.close()

    listener = await asyncio.start_server(called, "127.0.0.1", 0)
    home = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    html = (
        f'<link rel="preconnect" href="{home}"><link rel="stylesheet" href="{home}/a.css">'
        f'<meta http-equiv="refresh" content="0; url={home}"><base href="{home}/">'
        f'<style>@import "{home}/b.css"; body {{ background: url({home}/c.png) }}</style>'
        f'<script>parent.document.title = "owned"; document.title = "ran"; fetch("{home}")</script>'
        f'<img src="{home}/d.png" onerror="document.body.id = \'ran\'"><iframe src="{home}/e"></iframe>'
        f'<object data="{home}/g"></object>'
        f'<video autoplay src="{home}/f"></video><form action="{home}"><button autofocus>Win</button></form>'
        '<p id="end">end of the mail</p>'
    )
    await scene.mail(
        '<script>alert("subject")</script>', "<img src=x onerror=alert(1)>", html, "a<b>@example.com"
    )
    # What the policy forbids is told as an error, and as a request that was never sent.
    visitor.allow(f"request to another host: {home}")
    visitor.allow(
        "Blocked script|Content Security Policy|Content-Security-Policy|sandboxed|Loading the|Refused|Framing"
    )
    page = await visitor.open(scene.url)
    await page.locator(".row").click()
    frame = page.frame_locator("#opened iframe")
    await expect(frame.locator("#end")).to_have_text("end of the mail")
    await frame.get_by_text("Win").click()
    await page.get_by_role("group", name="View").get_by_text("Text").click()
    await expect(page.locator("#opened .body")).to_have_text("<img src=x onerror=alert(1)>")

    assert await page.locator("#opened h1").text_content() == '<script>alert("subject")</script>'
    await expect(page).to_have_title("Herald inbox")
    assert await page.locator("#opened iframe").count() == 0
    assert calls == []
    listener.close()
    await listener.wait_closed()


async def test_a_link_in_a_mail_opens_beside_the_inbox(visitor: Visitor, scene: Scene) -> None:
    visitor.allow("request to another host: http://elsewhere.localhost")
    await scene.mail("x", "", '<a href="http://elsewhere.localhost:9/">follow me</a>')
    page = await visitor.open(scene.url)
    await page.locator(".row").click()
    async with page.expect_popup() as popup:
        await page.frame_locator("#opened iframe").get_by_text("follow me").click()

    await (await popup.value).close()
    await expect(page.frame_locator("#opened iframe").get_by_text("follow me")).to_be_visible()


async def test_an_outage_that_the_page_switches_on_is_one(visitor: Visitor, scene: Scene) -> None:
    page = await visitor.open(scene.url)
    await page.get_by_role("button", name="Mail server").click()
    await page.get_by_role("dialog").get_by_role("button", name="down").click()
    await expect(page.locator("#toasts")).to_have_text("Mail server is down: its port is closed.")
    await expect(page.get_by_role("button", name="Mail server")).to_contain_text("down")
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await scene.mail("refused")
    await page.get_by_role("button", name="Bring it up").click()
    await expect(page.get_by_role("button", name="Mail server")).to_contain_text("up")
    await scene.mail("taken")

    await expect(page.locator(".row")).to_have_count(1)


async def test_an_outage_switched_on_elsewhere_is_seen_on_the_page(visitor: Visitor, scene: Scene) -> None:
    page = await visitor.open(scene.url)
    await expect(page.get_by_role("button", name="SMS provider")).to_contain_text("up")
    async with plain_client(scene.url) as client:
        await client.put("/api/v1/inbox/outage", json={"sms": "busy"})

    await expect(page.get_by_role("button", name="SMS provider")).to_contain_text("busy")
    await expect(page.locator("#outages")).to_contain_text("asks to come again later (429)")


async def test_everything_can_be_done_by_keyboard(visitor: Visitor, scene: Scene) -> None:
    for subject in ("one", "two", "three"):
        await scene.mail(subject, subject)
    page = await visitor.open(scene.url)
    await expect(page.locator(".row")).to_have_count(3)
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator("#opened h1")).to_have_text("two")
    await page.keyboard.press("j")
    await expect(page.locator("#opened h1")).to_have_text("one")
    await page.keyboard.press("k")
    await expect(page.locator("#opened h1")).to_have_text("two")
    await page.keyboard.press("Escape")
    await expect(page.locator("#opened")).to_contain_text("No message is opened")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("next message")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page).to_have_title("(1) Herald inbox")


async def test_deleting_all_asks_first(visitor: Visitor, scene: Scene) -> None:
    await scene.mail("one")
    page = await visitor.open(scene.url)
    await page.locator(".row").click()
    await page.get_by_role("button", name="Delete all").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(page.locator(".row")).to_have_count(1)
    await page.get_by_role("button", name="Delete all").click()
    await expect(page.get_by_role("dialog")).to_contain_text("1 mail, 0 texts")
    await page.get_by_role("dialog").get_by_role("button", name="Delete all").click()
    await expect(page.locator("#empty")).to_contain_text("Nothing has arrived yet")
    await scene.mail("after")

    await expect(page.locator(".row.unread .subject")).to_have_text(["after"])


async def test_what_was_read_stays_so_after_a_reload(visitor: Visitor, scene: Scene) -> None:
    await scene.mail("one")
    await scene.mail("two")
    page = await visitor.open(scene.url)
    await page.locator(".row", has_text="one").click()
    await expect(page.locator(".row.unread .subject")).to_have_text(["two"])
    await page.reload()
    await expect(page.locator("#opened h1")).to_have_text("one")

    await expect(page.locator(".row.unread .subject")).to_have_text(["two"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone_in_light_and_dark(visitor: Visitor, scene: Scene, scheme: str) -> None:
    await scene.mail("a-subject-without-blanks" * 20, "x" * 5000, to="a" * 60 + "@example.com")
    page = await visitor.open(scene.url, viewport=PHONE, color_scheme=scheme, has_touch=True)
    await expect(page.locator(".row")).to_have_count(1)
    widths = [await page.evaluate("document.documentElement.scrollWidth")]
    await page.locator(".row").tap()
    for view in ("Text", "Source", "Headers"):
        await page.get_by_role("group", name="View").get_by_text(view).tap()
        await expect(page.locator("#opened .body > *")).not_to_have_count(0)
        widths.append(await page.evaluate("document.documentElement.scrollWidth"))
    await expect(page.locator(".row")).to_be_hidden()
    await page.get_by_role("button", name="Back").tap()
    await expect(page.locator(".row")).to_be_visible()
    ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    assert widths == [360] * 4
    assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")


async def test_ten_thousand_mails_are_listed_searched_and_gone_through(visitor: Visitor) -> None:
    store = InboxStore(keep=10_000, keep_bytes=256 * 1024 * 1024)
    sock = listen_on("127.0.0.1", 0, "")
    port = HttpPort(asgi_app(InboxApi(store, {}).handle))
    await port.open(sock)

    def arrive(first: int, last: int) -> None:
        for number in range(first, last):
            raw = b"Subject: mail %d\r\n\r\nbody" % number
            store.add_mail(ReceivedMail(sender="a@b.co", recipients=("c@d.co",), at=0.0, raw=raw))

    arrive(1, 10_001)
    page = await visitor.open(f"http://127.0.0.1:{port_of(sock)}/")
    await expect(page.locator(".row").first).to_contain_text("mail 10000")
    await expect(page.locator(".row")).to_have_count(50)
    await page.get_by_role("button", name="Show older ones").click()
    await expect(page.locator(".row")).to_have_count(100)
    arrive(10_001, 10_401)
    await expect(page.locator(".row").first).to_contain_text("mail 10400")
    await page.get_by_label("Search all messages").fill("mail 7777")

    await expect(page.locator(".row .subject")).to_have_text(["mail 7777"])
    await page.close()
    await port.close()


async def test_the_page_goes_on_by_itself_once_the_inbox_is_back(visitor: Visitor) -> None:
    visitor.allow(AWAY)
    options = InboxOptions(smtp_port=0, sms_port=0, http_port=0)
    async with Inbox(options) as first:
        await Scene(first).mail("before")
        page = await visitor.open(Scene(first).url)
        await page.locator(".row").click()
        await expect(page.locator("#opened h1")).to_have_text("before")
    await expect(page.get_by_role("alert")).to_contain_text("does not answer")
    async with Inbox(InboxOptions(smtp_port=0, sms_port=0, http_port=first.ports.http)) as second:
        await Scene(second).mail("after")
        await expect(page.locator(".row .subject")).to_have_text(["after"])

        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(page.locator("#opened")).to_contain_text("No message is opened")


async def test_an_answer_that_is_no_inbox_does_not_break_the_page(visitor: Visitor, scene: Scene) -> None:
    visitor.allow("status of 500|status of 404")
    page = await visitor.open(scene.url)
    await expect(page.locator("#empty")).to_contain_text("Nothing has arrived yet")
    broken = [httpx.codes.INTERNAL_SERVER_ERROR, httpx.codes.OK]
    await page.route(
        "**/api/v1/inbox/messages?*",
        lambda route: route.fulfill(status=broken.pop(), body="{") if broken else route.continue_(),
    )
    await scene.mail("one")

    await expect(page.locator(".row")).to_have_count(1)
