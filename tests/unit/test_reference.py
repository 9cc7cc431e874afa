import json
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters import http_sms_answers, smtp_replies
from adapters.email_address import address_fault
from adapters.kafka_letters import letter_headers
from adapters.kafka_topics import QUICK_COMPACTION, new_topic
from adapters.outcome_table import Meaning
from adapters.sqlite_dead_letters import SqliteDeadLetters
from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_schema import group_path
from adapters.sqlite_topics import SqliteTopicCatalog
from application.circuit_breaker import BreakerPolicy
from application.counts import ProduceCounts
from application.lanes import RETRY_SHARE
from application.letter_counts import FRESH_SECONDS
from application.replay_portion import MOST_LETTERS
from application.shards import HoldingLimits
from application.topic_plans import plan_topics
from domain.dead_letter import DeadLetter
from domain.log import Record, Shard
from domain.message import wrong_fields
from domain.outcome import DeadLetterReason
from domain.retry import RetryPolicy
from domain.status import DeliveryState, StoryEvent
from domain.status_fold import FIRST_TRIES, NEWEST_TRIES
from domain.topic import Topic
from entrypoints.cli import herald
from entrypoints.consumer_metrics import METRICS
from entrypoints.inbox import InboxOptions
from entrypoints.inbox_http import InboxApi
from entrypoints.inbox_messages import HIGHEST_LIMIT, MESSAGES, MOST_SCANNED, PARAMETERS, USUAL_LIMIT
from entrypoints.inbox_outage import Outage
from entrypoints.inbox_store import InboxStore, ReceivedMail, ReceivedText
from entrypoints.metrics import render_produce_metrics
from entrypoints.openapi import openapi_document
from entrypoints.plain_http import Request
from entrypoints.problems import ProblemKind
from entrypoints.replay_endpoint import MOST_IDS, NOBODY
from entrypoints.settings_model import Settings
from entrypoints.settings_sources import from_assignments, known_fields
from tests import pages
from tests.api_parts import TOPICS, MemoryApi
from tests.contracts.rig import plan

HTTP, COMMANDS, METRICS_PAGE, DELIVERY, INBOX, TOPICS_PAGE = (
    pages.page(f"{name}.md") for name in ("http", "commands", "metrics", "delivery", "inbox", "topics")
)
DOCUMENT = openapi_document("1.2.3", tuple(TOPICS), keyed=True, max_messages=10_000)


def record(value: bytes = b"{}") -> Record:
    return Record(Shard("transactions", 3), 42, b"key", value, (("content-type", b"x"),), 0.0)


def letter() -> DeadLetter:
    reason = DeadLetterReason.REFUSED
    return DeadLetter(record=record(), group="email", reason=reason, error="550", attempts=0, failed_at=1.0)


# HTTP -----------------------------------------------------------------------------------------------


def test_every_path_stands_there_with_every_status_it_answers() -> None:
    written = {
        (method, pages.bare(path)): answers.split(", ")
        for method, path, _, answers in pages.table(HTTP, "method", "path")
    }

    assert written == {
        (method.upper(), path): sorted(operation["responses"])
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }


def test_every_field_stands_there_with_its_type_in_the_order_of_the_rules() -> None:
    properties = DOCUMENT["components"]["schemas"]["Message"]["properties"]
    given: dict[str, object] = {name: [] for name in properties}  # a list is wrong in every field

    written = {pages.bare(name): kind for name, kind, *_ in pages.table(HTTP, "field", "type")}

    assert list(written) == [e.pointer.removeprefix("#/") for e in wrong_fields(given, address_fault)]
    assert written == {name: next(iter(_types(schema))) for name, schema in properties.items()}


def _types(schema: dict[str, Any]) -> list[str]:
    kind: str | list[str] = schema["type"]
    return [kind] if isinstance(kind, str) else kind


LIMITS = {
    pages.bare(name): int(match[1])
    for name, _, limit, _ in pages.table(HTTP, "field", "type")
    if (match := re.fullmatch(r"(?:at most|1 to|7 to) (\d+) (?:characters|digits)", limit))
}


def text_of(name: str, length: int) -> str:
    """A right value of so many characters; a phone number's plus is not one of its digits."""
    match name:
        case "email":
            return "a" * (length - len("@example.com")) + "@example.com"
        case "phone":
            return "+" + "1" * length
        case _:
            return "a" * length


@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_a_field_may_be_as_long_as_its_limit_and_not_longer(name: str, limit: int) -> None:
    def is_wrong(length: int) -> bool:
        errors = wrong_fields({name: text_of(name, length)}, address_fault)
        return f"#/{name}" in {error.pointer for error in errors}

    assert [is_wrong(limit), is_wrong(limit + 1)] == [False, True]


def test_the_limits_are_those_of_every_text_that_has_one() -> None:
    assert set(LIMITS) == {
        "request_id",
        "message_body",
        "transaction_id",
        "customer_id",
        "email",
        "phone",
        "key",
    }


def test_every_problem_stands_there() -> None:
    written = [(int(status), pages.bare(name)) for status, name, _ in pages.table(HTTP, "status", "name")]

    assert written == [(kind.status, kind.slug) for kind in ProblemKind]


def test_the_numbers_of_a_replay_stand_there() -> None:
    text = " ".join(HTTP.split())

    assert f"a list of 1 to {MOST_IDS} ids" in text
    assert f"One call sends {MOST_LETTERS} again at the most" in text
    assert f"may be {FRESH_SECONDS:g} seconds old" in text
    assert f"(without keys `{NOBODY}`)" in text


def test_a_batch_is_answered_by_the_statuses_that_stand_there() -> None:
    written = {status for status, _ in pages.table(HTTP, "status", "when")}

    answers = DOCUMENT["paths"]["/api/v1/produce/batch"]["post"]["responses"]
    assert written == {
        status for status, answer in answers.items() if "application/json" in answer["content"]
    }


SHOWN = [
    "Accepted",
    "Batch",
    "Problem",
    "MessageStatus",
    "MessageStory",
    "Lags",
    "DeadLetters",
    "DeadLetterSummary",
    "Replayed",
    "Board",
    "History",
    "Topics",
]


@pytest.mark.parametrize(
    ("schema", "example"),
    list(zip(SHOWN, pages.blocks(HTTP, "json"), strict=True)),
)
def test_the_answers_shown_are_of_the_form_that_the_document_gives(schema: str, example: str) -> None:
    validator = jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{schema}", **DOCUMENT})

    assert list(validator.iter_errors(json.loads(example))) == []


async def test_the_produce_examples_are_answered_as_it_is_shown() -> None:
    api = MemoryApi()
    one, many, *_ = pages.blocks(HTTP, "sh")
    accepted, batch, problem, *_ = map(json.loads, pages.blocks(HTTP, "json"))
    wrong = {"topic_name": "transactions", "colour": 1}

    assert (await ask_as_curl(api, one)) == (202, accepted)
    assert (await ask_as_curl(api, many)) == (207, batch)
    assert (await api.post(json.dumps(wrong).encode())).json() == problem


async def ask_as_curl(api: MemoryApi, command: str) -> tuple[int, Any]:
    _, url, _, header, _, body = shlex.split(command)
    name, _, value = header.partition(": ")
    answer = await api.ask(
        "POST", url.removeprefix("http://127.0.0.1:8080"), body.encode(), {name.lower(): value}
    )
    return answer.status_code, answer.json()


# Commands -------------------------------------------------------------------------------------------


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by all its words; a group of consumers is one of its choices."""
    if isinstance(command, click.Group):
        for word, inner in command.commands.items():
            yield from leaves(inner, f"{name} {word}")
        return
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    choices = [p.type.choices for p in arguments if isinstance(p.type, click.Choice)]
    yield from [(f"{name} {word}", command) for word in choices[0]] if choices else [(name, command)]


ALL_COMMANDS = dict(leaves(herald, "herald"))


def options_of(command: click.Command) -> set[str]:
    context = click.Context(command)
    return {
        name
        for option in command.get_params(context)
        if isinstance(option, click.Option) and not option.hidden
        for name in option.opts
    }


def written_options(text: str) -> set[str]:
    return {pages.bare(name).split()[0] for name, _ in pages.table(text, "option", "")}


def section_of(command: str) -> str:
    heading = next(
        line.removeprefix("## ")
        for line in COMMANDS.splitlines()
        if line.startswith("## ") and f"`{command}`" in line
    )
    return pages.section(COMMANDS, heading)


def test_every_command_stands_there() -> None:
    written = [pages.bare(command) for command, _ in pages.table(COMMANDS, "command")]

    assert sorted(written) == sorted(ALL_COMMANDS)


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_a_command_has_the_options_that_stand_there_and_no_others(command: str) -> None:
    text = section_of(command)
    own = written_options(text) if "| option |" in text else set()

    assert written_options(COMMANDS) | own == options_of(ALL_COMMANDS[command])


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    words = command.split()[1:]

    assert [line for line in pages.herald_lines(section_of(command)) if line[: len(words)] == words]


def test_the_exit_codes_are_those_of_success_failure_and_wrong_usage() -> None:
    assert [code for code, _ in pages.table(COMMANDS, "exit code")] == [
        "0",
        "1",
        str(click.UsageError.exit_code),
    ]


def test_no_help_tells_of_what_is_not_there_yet() -> None:
    helps = "\n".join(
        command.get_help(click.Context(command)) for command in [herald, *ALL_COMMANDS.values()]
    )

    assert re.findall(r"(?i)\b(ledger|deferr\w*)\b", helps) == []


def test_every_state_of_a_delivery_stands_there() -> None:
    assert [pages.bare(state) for state, _ in pages.table(HTTP, "state")] == list(DeliveryState)


def test_every_event_of_a_story_stands_there_and_how_many_tries_are_told() -> None:
    text = " ".join(HTTP.split())

    assert [pages.bare(event) for event, _ in pages.table(HTTP, "event")] == list(StoryEvent)
    assert f"the first {FIRST_TRIES} tries and the newest {NEWEST_TRIES} are told" in text


# Metrics --------------------------------------------------------------------------------------------


def written_metrics(heading: str) -> list[tuple[str, str, tuple[str, ...]]]:
    rows = pages.table(pages.section(METRICS_PAGE, heading), "metric", "kind", "labels")
    return [(pages.bare(name), kind, labels_of(labels)) for name, kind, labels, _ in rows]


def labels_of(cell: str) -> tuple[str, ...]:
    return tuple(pages.bare(cell).split(", ")) if cell else ()


def test_every_metric_of_a_consumer_stands_there() -> None:
    assert written_metrics("Of a consumer") == [(m.name, str(m.kind), m.labels) for m in METRICS]


def test_every_metric_of_the_api_stands_there() -> None:
    counts = ProduceCounts()
    counts.requests[202] += 1
    counts.messages["transactions"] += 1
    families = text_string_to_metric_families(render_produce_metrics(counts, "1.2.3").decode())

    assert written_metrics("Of the API") == [
        (_exposed(family), family.type, tuple(label for label in family.samples[0].labels if label != "le"))
        for family in families
    ]


def _exposed(family: Any) -> str:
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def test_every_outcome_that_is_counted_stands_there() -> None:
    written = [pages.bare(outcome) for outcome, _ in pages.table(METRICS_PAGE, "outcome")]

    assert METRICS[0].meaning.endswith(f": {', '.join(written)}")


# Delivery -------------------------------------------------------------------------------------------


def test_every_reason_of_a_dead_letter_stands_there() -> None:
    written = [pages.bare(reason) for reason, _ in pages.table(DELIVERY, "reason")]

    assert written == [str(reason) for reason in DeadLetterReason]


def test_every_header_of_a_dead_letter_stands_there() -> None:
    written = [pages.bare(header) for header, _ in pages.table(DELIVERY, "header")]

    assert written == [name for name, _ in letter_headers(letter())[len(record().headers) :]]


def test_the_tables_of_answers_are_the_codes_tables() -> None:
    mail = pages.table(DELIVERY, "answer to")
    text = pages.table(DELIVERY, "status", "code or sid in the body")

    assert mail == [[row.phase, row.enhanced, row.reply, row.meaning] for row in smtp_replies.TABLE]
    assert text == [[row.status, row.body, row.meaning] for row in http_sms_answers.TABLE]


def test_what_follows_stands_there_for_all_that_an_answer_may_count_as() -> None:
    written = {counts_as for counts_as, _ in pages.table(DELIVERY, "it counts as", "what follows")}

    assert {str(meaning).removesuffix(" at once") for meaning in Meaning} - {"sent"} == written


def test_the_numbers_of_the_breaker_and_of_lost_answers_are_those_in_force() -> None:
    breaker, retry, limits = BreakerPolicy(), RetryPolicy(), HoldingLimits()
    minutes = [f"{seconds / 60:g}" for seconds in retry.uncertain_waits]

    expected = [
        f"after {breaker.channel_failures} tries in a row",
        f"{breaker.failing_keys} different keys in a row",
        f"from {breaker.first_pause:g} to {breaker.longest_pause:g} seconds",
        "up to an hour" if breaker.longest_wish == 3600 else "another limit",
        "at least {}, then {}, then {} minutes".format(*minutes),
        f"at most {RETRY_SHARE:.0%}".replace("%", " %"),
        f"{limits.run_ahead:,} messages above it are finished",
        f"At {limits.deferred:,} messages or {limits.deferred_bytes >> 20} MiB put off",
        f"share {limits.all_deferred:,} messages and {limits.all_deferred_bytes >> 20} MiB evenly",
        "After a minute of failing" if retry.defer_after_seconds == 60 else "another limit",
    ]
    assert [text for text in expected if text not in DELIVERY] == []


# Topics ---------------------------------------------------------------------------------------------


def test_the_settings_of_the_topics_that_herald_makes_on_kafka_stand_there() -> None:
    topic = Topic(name="transactions", partitions=6, groups=("email",))
    made = [new_topic(plan, 5, 1000) for plan in plan_topics([topic], 90, {})]
    source, _, deferred, letters, control = made
    settings = pages.table(TOPICS_PAGE, "setting", "`{topic}`")
    rows = {pages.bare(name): cells for name, *cells in settings}
    stand = [{pages.bare(name) for name, *cells in settings if cells[at]} for at in range(len(made))]

    assert [{"replication", *one.topic_configs} for one in made] == stand
    assert [one.topic_configs["cleanup.policy"] for one in made] == list(
        map(pages.bare, rows["cleanup.policy"])
    )
    assert (source.replication_factor, [one.num_partitions for one in made]) == (3, [6, 6, 6, 1, 1])
    assert source.topic_configs["min.insync.replicas"] == "2"
    for one, cell in ((deferred, 2), (letters, 3)):
        more = int(one.topic_configs["max.message.bytes"]) - 1000
        assert f"{more} more" in rows["max.message.bytes"][cell]
    for one, cell in ((deferred, 2), (control, 4)):
        assert [one.topic_configs[name] for name in rows if name in QUICK_COMPACTION] == [
            pages.bare(rows[name][cell]) for name in rows if name in QUICK_COMPACTION
        ]


async def test_the_files_of_the_sqlite_log_and_the_query_for_dead_letters_are_right(tmp_path: Path) -> None:
    log = tmp_path / "herald.db"
    group = SqliteGroupFile(log, "email")
    async with SqliteTopicCatalog(log) as topics, SqliteDeadLetters(group) as letters:
        await topics.create([plan("transactions")])
        await letters.keep(letter())
        there = set(os.listdir(tmp_path))  # noqa: PTH208 - while the files are open
    written = {pages.bare(name) for name, _ in pages.table(TOPICS_PAGE, "file")}
    query = shlex.split(pages.blocks(TOPICS_PAGE, "sh")[1])[-1]
    with sqlite3.connect(group_path(log, "email")) as connection:
        found = connection.execute(query).fetchall()
    connection.close()

    assert {name for name in there if not name.endswith(("-wal", "-shm"))} == {
        name for name in written if ".sms." not in name
    }
    assert {name.replace(".email.", ".sms.") for name in written} <= written
    assert found[0][:4] == ("transactions", 3, 42, "refused")


# Inbox ----------------------------------------------------------------------------------------------


async def test_the_inbox_shows_what_stands_there() -> None:
    listed, shown = (json.loads(block) for block in pages.blocks(INBOX, "json")[:2])
    store = InboxStore(keep=1, keep_bytes=10_000)
    store.add_mail(ReceivedMail(sender="a@b.co", recipients=("c@d.co",), at=0.0, raw=b"Subject: x\r\n\r\nx"))
    text = {name.name: "x" for name in fields_of(ReceivedText)} | {"at": 0.0}
    store.add_text(ReceivedText(**text))  # type: ignore[arg-type]

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request"}

    async def get(path: str, query: str = "") -> Any:
        request = Request(method="GET", path=path, query=query, headers={}, receive=nothing)
        return json.loads((await InboxApi(store, {}).handle(request)).body)

    assert shape(await get("/api/v1/inbox")) == shape(shown)
    listing = await get(MESSAGES, "kind=sms")
    assert shape(listing | {"services": listed["services"]}) == shape(listed)


def test_every_parameter_of_the_inbox_s_list_stands_there() -> None:
    written = {pages.bare(name) for name, _ in pages.table(INBOX, "parameter", "meaning")}

    assert written == set(PARAMETERS)
    assert f"1 to {HIGHEST_LIMIT} ({USUAL_LIMIT})" in INBOX
    assert f"at {MOST_SCANNED}\nentries a request" in INBOX


def shape(value: Any) -> Any:
    """The names in it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def test_every_outage_stands_there() -> None:
    assert [pages.bare(state) for state, *_ in pages.table(INBOX, "state")] == [str(o) for o in Outage]


def test_the_bounds_of_the_inbox_stand_there() -> None:
    options = InboxOptions()

    assert f"{options.keep_bytes // 2**20} MiB at most" in INBOX
    assert f"mails up to {options.mail_bytes // 2**20} MiB" in INBOX
    assert f"answers after {options.slow_seconds:g} s" in INBOX


# Every page -----------------------------------------------------------------------------------------


def settings_named(text: str) -> list[str]:
    names = [span for span in pages.spans(text) if re.fullmatch(r"[a-z]+\.[a-z_]+", span)]
    return [name for name in names if name.partition(".")[0] in Settings.model_fields and ".txt" not in name]


@pytest.mark.parametrize("path", pages.READ_BY_PEOPLE, ids=lambda path: path.name)
def test_every_setting_that_a_page_names_exists(path: Path) -> None:
    assert [name for name in settings_named(path.read_text()) if name not in known_fields()] == []


def shown_defaults() -> list[tuple[str, str]]:
    """`section.field` with its default in brackets behind it."""
    found = [re.findall(r"`([a-z]+\.[a-z_]+)`\s\(([^)]+)\)", text) for text in map(pages.page, HAND_WRITTEN)]
    return [pair for pairs in found for pair in pairs]


HAND_WRITTEN = ("http.md", "commands.md", "metrics.md", "delivery.md", "inbox.md", "topics.md")


@pytest.mark.parametrize(("name", "written"), shown_defaults())
def test_a_default_in_brackets_is_the_setting_s(name: str, written: str) -> None:
    section, _, field = name.partition(".")
    value = getattr(getattr(Settings(), section), field)
    shown = f"{value:g}" if isinstance(value, float) else str(value)

    assert written.strip('"') == shown


@pytest.mark.parametrize("path", pages.READ_BY_PEOPLE, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert pages.broken_links(path) == []


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that these words lead to, and the words behind it."""
    command: click.Command = herald
    rest = list(words)
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    return command, rest


EXAMPLES = [
    pytest.param(words, id=f"{path.name}: {' '.join(words)}")
    for path in pages.READ_BY_PEOPLE
    for words in pages.herald_lines(path.read_text())
]


@pytest.mark.parametrize("words", EXAMPLES)
def test_every_command_line_in_an_example_is_right(words: list[str]) -> None:
    command, rest = resolved(words)

    context = command.make_context("herald", rest)

    assert not isinstance(command, click.Group)
    assert from_assignments(context.params.get("assignments", ())).mistakes == []


def commands_named(text: str) -> list[list[str]]:
    return [span.split()[1:] for span in pages.spans(text) if re.match(r"(\S*/)?herald ", span)]


@pytest.mark.parametrize("path", pages.READ_BY_PEOPLE, ids=lambda path: path.name)
def test_every_command_that_a_page_names_exists(path: Path) -> None:
    named = commands_named(path.read_text())
    unknown = {
        words[0] for words in named if isinstance(resolved(words)[0], click.Group) and resolved(words)[1]
    }

    assert unknown - {"--version"} == set()


def test_each_decision_has_a_number_of_its_own_and_begins_with_it() -> None:
    files = sorted((Path(__file__).parents[2] / "docs" / "decisions").glob("*.md"))
    numbers = [int(file.name[:4]) for file in files]

    assert sorted(set(numbers)) == numbers
    assert [file.read_text().split(".")[0] for file in files] == [f"# {number}" for number in numbers]
