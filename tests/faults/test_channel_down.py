"""What is the channel's fault costs no message anything, and what is one message's fault stops no other."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count, pairwise

import pytest

from tests.faults.scene import Scene
from tests.site import eventually
from tests.sms_provider import answer, error
from tests.smtp_server import HANG, say

NO_SUCH_USER = say("550 5.1.1 no such user")


@pytest.fixture
def impatient_scene(any_scene: Scene) -> Scene:
    """Two attempts a message, so that an outage that cost attempts would make dead letters at once."""
    any_scene.set(delivery__max_attempts=2, delivery__first_retry_seconds=0.1)
    any_scene.change(breaker_policy={"longest_pause": 1.0})
    return any_scene


def mails(prefix: str, count: int) -> list[dict[str, str]]:
    return [{"request_id": f"{prefix}-{n}", "email": f"{prefix}{n}@example.test"} for n in range(count)]


def texts(prefix: str, count: int) -> list[dict[str, str]]:
    return [{"request_id": f"{prefix}-{n}", "phone": f"+1202555{n:04}"} for n in range(count)]


def ids(messages: Iterable[dict[str, str]]) -> set[str]:
    return {message["request_id"] for message in messages}


async def goes_down(scene: Scene, group: str) -> bool:
    return await scene.site.metric_reaches(group, "herald_channel_up", 0, at_most=True)


async def refused_for_long(scene: Scene, group: str, asked: Callable[[], int]) -> None:
    """Three probes long. `asked`: how often the provider was asked so far."""
    assert await goes_down(scene, group), scene.site.output()
    before = asked()

    async def probed() -> bool:
        return asked() >= before + 3

    assert await eventually(probed)


def asked(scene: Scene) -> int:
    return len(scene.texts.requests)


async def test_a_wrong_account_a_refused_sender_and_a_limit_for_everyone_make_no_dead_letter(
    impatient_scene: Scene,
) -> None:
    scene = impatient_scene
    scene.mails.password = "right"
    scene.set(smtp__username="user", smtp__password="right")
    await scene.start("email", "sms")

    async def mail() -> None:
        for phase, code in (("AUTH", "535 5.7.8 wrong password"), ("MAIL", "550 5.7.1 sender refused")):
            scene.mails.drop_connections()
            scene.mails.always[phase] = say(code)
            await scene.post(mails(phase.lower(), 30))
            await refused_for_long(scene, "email", partial(scene.mails.count, phase))
            assert not ids(mails(phase.lower(), 30)) & set(scene.mailed())
            del scene.mails.always[phase]
            assert await scene.mailed_all(ids(mails(phase.lower(), 30)))

    async def text() -> None:
        wrong_login, too_many = error(401, 20003, "Authenticate"), error(429, 20429, "Too many requests")
        for name, said in (("login", wrong_login), ("limit", too_many)):
            scene.texts.always = said
            await scene.post(texts(name, 30))
            await refused_for_long(scene, "sms", partial(asked, scene))
            assert not ids(texts(name, 30)) & set(scene.texted())
            scene.texts.always = None
            assert await scene.texted_all(ids(texts(name, 30)))

    await asyncio.gather(mail(), text())

    for group in ("email", "sms"):
        assert await scene.dead_letters(group) == 0
    assert len(scene.mails.mails) == len(scene.texts.texts) == 60


async def test_recipients_refused_one_after_another_are_twenty_dead_letters_and_then_one_a_probe(
    any_scene: Scene,
) -> None:
    scene = any_scene
    scene.set(delivery__concurrency=1)
    scene.change(breaker_policy={"first_pause": 1.0, "longest_pause": 2.0})
    all_mails = mails("refused", 40)
    scene.mails.by_recipient = {message["email"]: NO_SUCH_USER for message in all_mails}
    await scene.start("email")

    await scene.post(all_mails)
    assert await scene.has_dead_letters("email", 23, "refused")
    assert scene.logged("consumer-email", "channel_down")[-1]["message"].endswith("refuses-everything")
    # Refused one after another; then a probe after at least 0.5, 1 and 1 s, each of another message.
    tries = scene.mails.tries
    assert len({one.recipient for one in tries}) == len(tries)
    pauses = [later.at - earlier.at for earlier, later in pairwise(tries[19:23])]
    assert all(pause >= 0.95 * least for pause, least in zip(pauses, (0.5, 1.0, 1.0), strict=True))

    scene.mails.by_recipient.clear()
    dead = len(tries)
    assert await scene.mailed_count(40 - dead)
    assert await scene.dead_letters("email", "refused") == dead
    assert len(scene.mails.mails) == 40 - dead


async def test_one_message_that_breaks_the_provider_or_hangs_stops_no_other(impatient_scene: Scene) -> None:
    scene = impatient_scene
    scene.set(smtp__data_timeout_seconds=0.5, delivery__max_uncertain=2)
    scene.change(
        breaker_policy={"first_pause": 0.2, "longest_pause": 1.0}, retry_policy={"uncertain_waits": [0.5]}
    )
    scene.mails.at_content["hangs@example.test"] = HANG
    scene.texts.by_number["+12025559999"] = answer(500, "a bug")
    await scene.start("email", "sms")

    async def hangs() -> None:
        good = mails("good", 1000)
        await scene.post([*good[:500], {"request_id": "hangs", "email": "hangs@example.test"}, *good[500:]])
        assert await scene.mailed_all(ids(good))
        assert await scene.has_dead_letters("email", 1, "uncertain")
        assert len(scene.mails.mails) == 1000
        assert len(scene.tries("hangs@example.test")) == 3  # one and `max_uncertain`
        assert await scene.dead_letters("email") == 1

    async def breaks() -> None:
        await scene.post([{"request_id": "breaks", "phone": "+12025559999"}])
        # Held alone, and the channel is thought to be down because of it.
        await refused_for_long(scene, "sms", partial(asked, scene))
        good = texts("good", 100)
        await scene.post(good)
        assert await scene.texted_all(ids(good))
        # While others go through its failing is its own.
        passing = await pass_until_dead(scene)
        assert await scene.texted_all(passing)
        assert len(scene.texts.texts) == 100 + len(passing)
        assert await scene.dead_letters("sms") == 1

    await asyncio.gather(hangs(), breaks())


async def pass_until_dead(scene: Scene) -> set[str]:
    """Good texts, a few at a time, until there is a dead letter; their ids."""
    passing: set[str] = set()
    for number in count():
        if await scene.dead_letters("sms", "too-many-attempts"):
            break
        handful = texts(f"passing{number}", 5)
        await scene.post(handful)
        passing |= ids(handful)
        await asyncio.sleep(0.05)
    return passing
