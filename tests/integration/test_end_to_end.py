"""POST to mail and text, through real processes, over both logs."""

from tests.site import Site


async def test_a_posted_message_arrives_as_a_mail_and_as_a_text(any_site: Site) -> None:
    await any_site.start_all()

    answer = await any_site.post(
        request_id="r-1", message_body="42.00 EUR arrived", transaction_id="T-1001", key="customer-7"
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["request_id"] == "r-1"
    assert await any_site.arrived(emails=1, sms=1)

    inbox = await any_site.inbox()
    [mail], [text] = inbox["emails"], inbox["sms"]
    assert (mail["to"], mail["subject"]) == ("ada@example.test", "Transaction Successful")
    assert mail["message_id"] == f"<r-1.{any_site.topic}@herald.localhost>"
    assert [part for part in ("text", "html") if "42.00 EUR arrived" not in mail[part]] == []
    assert [part for part in ("text", "html") if "T-1001" not in mail[part]] == []
    assert text["to"] == "+12025550143"
    assert text["body"].startswith("Transaction Successful")
    assert "T-1001" in text["body"]
    assert text["idempotency_key"] == f"r-1.{any_site.topic}"


async def test_with_a_key_without_one_and_to_a_partition_all_arrive_once(any_site: Site) -> None:
    await any_site.start_all()

    await any_site.post_many(20, "keyed-", key="same")
    await any_site.post_many(20, "free-")
    await any_site.post_many(20, "second-", partition=2)
    assert await any_site.arrived(emails=60, sms=60)

    inbox = await any_site.inbox()
    keyed = [mail["message_id"] for mail in reversed(inbox["emails"]) if "<keyed-" in mail["message_id"]]
    assert keyed == [f"<keyed-{n}.{any_site.topic}@herald.localhost>" for n in range(20)]
    assert inbox["totals"] == {"emails": 60, "sms": 60}


async def test_a_message_with_one_address_reaches_that_channel_only(any_site: Site) -> None:
    await any_site.start_all()

    await any_site.post(phone=None)
    await any_site.post(email="")
    assert await any_site.arrived(emails=1, sms=1)

    assert (await any_site.inbox())["totals"] == {"emails": 1, "sms": 1}


async def test_what_is_refused_for_good_does_not_hold_what_comes_after_it(any_site: Site) -> None:
    await any_site.start_all()

    await any_site.outage(email="reject", sms="reject")
    await any_site.post_many(3, "refused-", key="a")
    assert await any_site.metric_reaches("email", "herald_dead_letters_total", 3)
    assert await any_site.metric_reaches("sms", "herald_dead_letters_total", 3)
    await any_site.outage(email="up", sms="up")
    await any_site.post_many(3, "fine-", key="a")

    assert await any_site.arrived(emails=3, sms=3)
