"""The pure parts of the board's scripts: its sentence, its links, its scales. Run where they will run."""

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.board_server import BoardServer, calm, channel, group, outage, process, serving, time_text, topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: "Browser") -> "AsyncIterator[Page]":
    """One for all tests: they only call functions on it. Times are told in UTC."""
    async with serving(BoardServer()) as url:
        context = await browser.new_context(timezone_id="UTC")
        one = await context.new_page()
        await one.goto(url)
        yield one
        await context.close()


async def sentence(page: "Page", topics: list[Any], **more: Any) -> dict[str, str]:
    board = {
        "as_of": time_text(),
        "trouble": None,
        "topics": topics,
        "consumers": [],
        **more.pop("board", {}),
    }
    told: dict[str, str] = await page.evaluate("boardWords.howItIs", {"board": board, **more})
    return told


NO_PROCESS = {"processes": 0, "channel": channel("unknown", None)}
DOWN = channel("down", 60.0, "connection refused")
CALM = "All channels up, nothing waits."


@pytest.mark.parametrize(
    ("topics", "level", "text"),
    [
        (calm(), "ok", CALM),
        ([topic("t", group("sms", lag=1))], "ok", "All channels up; 1 message is on the way."),
        (
            [topic("t", group("sms", lag=1500, oldest_unfinished_seconds=130.0))],
            "warn",
            "All channels up; 1,500 messages wait, the oldest for 2 min.",
        ),
        (
            [topic("t", group("sms", deferred=3))],
            "ok",
            "All channels up. 3 messages that keep failing are put off and tried again.",
        ),
        (
            [topic("t", group("sms", lag=None, deferred=None))],
            "unknown",
            "All channels up; how many messages wait is not known yet.",
        ),
        (
            [topic("t", group("sms", lag=12, **NO_PROCESS))],
            "bad",
            "No sms consumer runs: 12 messages wait. Start “herald consumer sms”.",
        ),
        (
            [topic("old", group("sms")), topic("new", group("sms", **NO_PROCESS))],
            "bad",
            "No sms consumer takes new: start “herald consumer sms” anew.",
        ),
        (
            [topic("t", group("sms", channel=channel("unknown", None)))],
            "unknown",
            "How sms is, no process told lately; no message waits.",
        ),
        ([], "unknown", "There is no topic here, or none that this key is for."),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) > 10 else "",
)
async def test_one_sentence_says_how_it_is(page: "Page", topics: list[Any], level: str, text: str) -> None:
    told = await sentence(page, topics)

    assert (told["level"], told["text"]) == (level, text)


async def test_an_outage_says_since_when_why_how_many_wait_and_what_follows(page: "Page") -> None:
    topics = outage()
    topics[0]["groups"][0]["channel"]["since"] = "2026-11-28T02:13:45.000Z"

    told = await sentence(page, topics, now=1_795_832_100_000)  # three in the morning of that day

    assert told["text"] == (
        "Email is down since 02:13 (connection refused): 1,204 messages wait; they are sent when it is back."
    )
    assert told["brief"] == "email down"


@pytest.mark.parametrize(
    ("partitions", "level", "text"),
    [
        (6, "warn", "1 of 3 sms processes cannot reach the provider (connection refused); the others go on."),
        (0, "bad", "Sms is down since"),
    ],
)
async def test_who_has_no_work_does_not_make_a_channel_half_up(
    page: "Page", partitions: int, level: str, text: str
) -> None:
    topics = [topic("t", group("sms", processes=3, processes_down=1, channel=DOWN))]
    others = [process("sms", topics=[{"name": "t", "partitions": partitions}]) for _ in range(2)]

    told = await sentence(page, topics, board={"consumers": [process("sms", channel=DOWN), *others]})

    assert (told["level"], told["text"][: len(text)]) == (level, text)


async def test_what_began_on_another_day_says_which(page: "Page") -> None:
    told = await sentence(page, [topic("t", group("sms", channel={**DOWN, "since": "2020-01-31T02:13:00Z"}))])

    assert "since 31 Jan, 02:13 (" in told["text"]


async def test_a_log_or_an_api_that_does_not_answer_comes_before_all_else(page: "Page") -> None:
    log = await sentence(page, outage(), board={"trouble": "Kafka at 127.0.0.1:1 does not answer"})
    api = await sentence(page, outage(), away=0)
    away = await sentence(page, outage(), away=1_795_832_100_000)

    assert log["text"] == "The log does not answer: Kafka at 127.0.0.1:1 does not answer"
    assert api["text"].startswith("Email is down")
    assert away["text"].startswith("Herald's API does not answer since 28 Nov, 02:15. What is shown is of ")


async def test_dead_letters_are_told_beside_it_and_do_not_change_what_is_read_aloud(page: "Page") -> None:
    told = await sentence(page, calm(), letters={"total": 1})

    assert told == {"level": "ok", "text": f"{CALM} 1 dead letter to look at.", "brief": "all up"}


async def test_a_long_reason_is_cut_in_the_sentence(page: "Page") -> None:
    told = await sentence(page, [topic("t", group("sms", channel={**DOWN, "reason": "r" * 500}))])

    assert f"({'r' * 120}…)" in told["text"]


@pytest.mark.parametrize("name", ["order-1001", "a/b?c=d&e#f", "100 %", "<script>", "é"])
async def test_a_link_leads_back_to_what_it_was_made_of(page: "Page", name: str) -> None:
    script = "([id, q]) => boardWords.place(boardWords.link('message', id, q))"

    assert await page.evaluate(script, [name, {"topic": name}]) == {
        "view": "message",
        "id": name,
        "query": {"topic": name},
    }


async def test_a_link_that_was_typed_wrongly_is_taken_as_it_is(page: "Page") -> None:
    told = await page.evaluate("boardWords.place", "#message/100%")

    assert told["id"] == "100%"


@pytest.mark.parametrize(
    ("highest", "top"), [(1, 1), (1.2, 2), (3, 5), (6, 10), (10, 10), (1204, 2000), (99_999, 100_000)]
)
async def test_a_scale_ends_where_its_half_can_be_read_too(page: "Page", highest: float, top: float) -> None:
    assert await page.evaluate("boardCharts.niceTop", highest) == top


async def test_a_line_breaks_where_nothing_was_measured(page: "Page") -> None:
    path = await page.evaluate("([v, top]) => boardCharts.pathOf(v, top)", [[0, None, 10, 5], 10])

    assert path == "M0.0 80.0h0.1M240.0 0.0h0.1L360.0 40.0"


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "\N{EN DASH}"), (0, "0"), (0.034, "0.03"), (4.25, "4.3"), (9.96, "10"), (1234.4, "1,234")],
)
async def test_a_rate_can_be_read_at_a_glance(page: "Page", rate: float | None, text: str) -> None:
    assert await page.evaluate("boardWords.rate", rate) == text


async def test_the_question_says_how_many_and_what_is_left_out(page: "Page") -> None:
    survey = {"replayed": 12, "remaining": 0, "parked": 2, "already": 1}
    asked = await page.evaluate("boardReplay.question", survey)

    assert asked["title"] == "Send 12 dead letters again?"
    assert asked["text"].endswith(" Left alone: 2 parked, 1 sent again before.")
