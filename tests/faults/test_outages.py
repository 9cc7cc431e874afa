"""What is down comes back: nothing is lost, nobody lends a hand, the other channel notices nothing."""

import signal

import pytest

from tests.site import Site


async def test_consumers_that_were_down_work_off_what_came_meanwhile(any_site: Site) -> None:
    for command in ("api", "inbox"):
        any_site.start(command)
    assert await any_site.ready(), any_site.output()
    await any_site.post_many(50, key="a")

    for group in ("email", "sms"):
        any_site.start_consumer(group)
    assert await any_site.arrived(emails=50, sms=50)

    assert (await any_site.inbox())["totals"] == {"emails": 50, "sms": 50}


@pytest.mark.parametrize(("channel", "other"), [("email", "sms"), ("sms", "email")])
async def test_a_channel_that_is_down_holds_its_own_messages_only_and_spends_no_attempt(
    any_site: Site, channel: str, other: str
) -> None:
    await any_site.start_all()

    await any_site.outage(**{channel: "down"})
    await any_site.post_many(40, key="a")
    passing = {"emails": 40, "sms": 0} if other == "email" else {"emails": 0, "sms": 40}
    assert await any_site.arrived(**passing)
    assert await any_site.metric_reaches(channel, "herald_channel_up", 0, at_most=True)
    assert (await any_site.inbox())["totals"] == passing
    await any_site.outage(**{channel: "up"})

    assert await any_site.arrived(emails=40, sms=40)
    inbox = await any_site.inbox()
    assert inbox["totals"] == {"emails": 40, "sms": 40}
    assert await any_site.metric(channel, "herald_dead_letters_total") == 0
    # One key, so the order of arrival is the order of posting.
    bodies = [mail["message_id"] for mail in reversed(inbox["emails"])]
    assert bodies == [f"<m{n}.{any_site.topic}@herald.localhost>" for n in range(40)]


@pytest.mark.parametrize("state", ["busy", "down"])
async def test_a_long_outage_of_both_channels_makes_no_dead_letter(any_site: Site, state: str) -> None:
    few = {"HERALD_DELIVERY__MAX_ATTEMPTS": "2", "HERALD_DELIVERY__FIRST_RETRY_SECONDS": "0.1"}
    any_site.environ |= few
    await any_site.start_all()

    await any_site.outage(email="down", sms=state)
    await any_site.post_many(30)
    assert await any_site.metric_reaches("email", "herald_channel_up", 0, at_most=True)
    assert await any_site.metric_reaches("sms", "herald_channel_up", 0, at_most=True)
    await any_site.post_many(30, "later-")
    await any_site.outage(email="up", sms="up")

    assert await any_site.arrived(emails=60, sms=60)
    for group in ("email", "sms"):
        assert await any_site.metric(group, "herald_dead_letters_total") == 0


async def test_a_killed_consumer_loses_nothing_and_the_other_channel_goes_on(any_site: Site) -> None:
    any_site.environ["HERALD_DELIVERY__CONCURRENCY"] = "8"
    for command in ("api", "inbox"):
        any_site.start(command)
    assert await any_site.ready(), any_site.output()
    assert await any_site.inbox_ready(), any_site.output()
    victim = any_site.start_consumer("email")
    any_site.start_consumer("sms")
    await any_site.post_many(100)
    assert await any_site.arrived(emails=1, sms=1)

    victim.send_signal(signal.SIGKILL)
    victim.wait()
    await any_site.post_many(50, "after-")
    assert await any_site.arrived(emails=0, sms=150)
    any_site.start_consumer("email")

    assert await any_site.different_mails(150)
    assert (await any_site.inbox())["totals"]["sms"] == 150


async def test_a_stopped_consumer_ends_cleanly_and_nothing_is_sent_twice(any_site: Site) -> None:
    for command in ("api", "inbox"):
        any_site.start(command)
    assert await any_site.ready(), any_site.output()
    assert await any_site.inbox_ready(), any_site.output()
    first = any_site.start_consumer("email")
    await any_site.post_many(60, phone="")
    assert await any_site.arrived(emails=1, sms=0)

    first.send_signal(signal.SIGTERM)
    assert first.wait(25) == 0
    await any_site.post_many(20, "after-", phone="")
    any_site.start_consumer("email")
    assert await any_site.arrived(emails=80, sms=0)

    assert (await any_site.inbox())["totals"]["emails"] == 80


async def test_two_processes_of_a_group_share_the_work(any_site: Site) -> None:
    await any_site.start_all()
    second = any_site.start("consumer", "email", HERALD_CONSUMER__PORT=str(any_site.spare_port))
    assert await any_site.ready(f"http://127.0.0.1:{any_site.spare_port}"), any_site.output()

    await any_site.post_many(60, phone="")
    assert await any_site.arrived(emails=60, sms=0)
    second.send_signal(signal.SIGTERM)
    assert second.wait(25) == 0
    await any_site.post_many(20, "after-", phone="")
    assert await any_site.arrived(emails=80, sms=0)

    assert (await any_site.inbox())["totals"]["emails"] == 80


async def test_on_kafka_both_processes_of_a_group_send(kafka_site: Site) -> None:
    await kafka_site.start_all()
    kafka_site.start("consumer", "email", HERALD_CONSUMER__PORT=str(kafka_site.spare_port))
    assert await kafka_site.ready(f"http://127.0.0.1:{kafka_site.spare_port}"), kafka_site.output()

    for partition in range(3):
        await kafka_site.post_many(10, f"p{partition}-", phone="", partition=partition)
    assert await kafka_site.arrived(emails=30, sms=0)

    first = await kafka_site.metric("email", "herald_deliveries_total")
    second = await kafka_site.metric_at(kafka_site.spare_port, "herald_deliveries_total")
    assert sorted([first, second]) == [10, 20]
