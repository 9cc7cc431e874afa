"""What becomes a span, and what must never get into one. The exporter keeps them in memory."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.memory import MemoryPublisher
from adapters.otel_tracing import OtelTracer, TracedProcess
from application.circuit_breaker import BreakerPolicy
from application.engine_options import EngineOptions
from application.traced_dispatcher import TracedDispatcher
from domain.log import NewRecord, Record
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from tests.api_parts import VALID, MemoryApi
from tests.engine_parts import SHARD, World
from tests.fakes import ScriptedChannel

ROOT = Path(__file__).parents[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENTS_SPAN = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CLIENTS_SPAN}-01"


class Traces:
    """A tracer and what it has exported, once it was left."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        process = TracedProcess(name="herald-test", version="1.2.3", log="memory")
        self.tracer = OtelTracer(process, lambda: self._exporter)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def links(self) -> list[tuple[str, str]]:
        """Each span with the name of its parent, or with its id where another process has that."""
        names = {_id(span.context): span.name for span in self.spans}
        return sorted((span.name, names.get(_id(span.parent), _id(span.parent))) for span in self.spans)


def _id(context: Any) -> str:
    return "" if context is None else f"{context.span_id:016x}"


def traces_of(spans: list[ReadableSpan]) -> set[str]:
    return {f"{span.context.trace_id:032x}" for span in spans if span.context is not None}


@asynccontextmanager
async def traced_api(*, hot: bool = True) -> AsyncIterator[tuple[MemoryApi, Traces]]:
    traces = Traces()
    async with traces.tracer:
        yield MemoryApi(hot=hot, tracer=traces.tracer), traces


def headers_of(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


# The request -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hot", [True, False])
async def test_a_request_goes_on_in_its_clients_trace_and_its_record_in_that_of_the_request(
    hot: bool,  # noqa: FBT001 - which way it goes
) -> None:
    async with traced_api(hot=hot) as (api, traces):
        answer = await api.ask(
            "POST",
            "/api/v1/produce",
            json.dumps({**VALID, "request_id": "r-1"}).encode(),
            {"content-type": "application/json", "traceparent": TRACEPARENT, "tracestate": "vendor=x"},
        )

    assert answer.status_code == 202
    assert traces.links() == [
        ("POST /api/v1/produce", CLIENTS_SPAN),
        ("send transactions", "POST /api/v1/produce"),
    ]
    assert traces_of(traces.spans) == {TRACE}
    [send] = traces.named("send transactions")
    [record] = api.records()
    assert headers_of(record) == {
        "content-type": "application/json",
        "traceparent": f"00-{TRACE}-{_id(send.context)}-01",
        "tracestate": "vendor=x",
    }
    assert dict(send.attributes or {}) == {
        "messaging.system": "memory",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "transactions",
        "messaging.message.id": "r-1",
    }


@pytest.mark.parametrize("traceparent", ["", "00-nonsense", TRACEPARENT.replace(TRACE, "0" * 32)])
async def test_a_request_without_a_good_traceparent_begins_a_trace(traceparent: str) -> None:
    async with traced_api() as (api, traces):
        await api.post(json.dumps(VALID).encode(), traceparent=traceparent)

    [request] = traces.named("POST /api/v1/produce")
    assert request.parent is None
    [record] = api.records()
    assert headers_of(record)["traceparent"].split("-")[1] in traces_of(traces.spans)


async def test_a_trace_that_its_client_does_not_sample_is_passed_on_and_not_exported() -> None:
    async with traced_api() as (api, traces):
        await api.post(json.dumps(VALID).encode(), traceparent=TRACEPARENT.removesuffix("01") + "00")

    assert traces.spans == []
    [record] = api.records()
    assert headers_of(record)["traceparent"].startswith(f"00-{TRACE}-")
    assert headers_of(record)["traceparent"].endswith("-00")


async def test_a_tracestate_of_more_than_512_characters_does_not_swell_the_record() -> None:
    long = ",".join(f"vendor{n}={'x' * 200}" for n in range(30))
    async with traced_api() as (api, _):
        await api.post(json.dumps(VALID).encode(), traceparent=TRACEPARENT, tracestate=long)

    [record] = api.records()
    assert len(headers_of(record).get("tracestate", "")) <= 512


async def test_a_batch_is_one_step_and_each_of_its_records_goes_on_from_it() -> None:
    async with traced_api() as (api, traces):
        items = [VALID, VALID, {**VALID, "topic_name": "refunds"}, {**VALID, "topic_name": "x@example.com"}]
        answer = await api.post_batch(items)

    assert answer.status_code == 207
    [send] = traces.named("send")
    assert {headers_of(record)["traceparent"].split("-")[2] for record in api.records()} == {
        _id(send.context)
    }
    assert (send.attributes or {})["messaging.batch.message_count"] == 3
    assert "example.com" not in str([span.to_json() for span in traces.spans])


async def test_what_the_log_does_not_confirm_is_a_failed_step_of_a_failed_request() -> None:
    async with traced_api() as (api, traces):
        api.broker.down = True
        answer = await api.post(json.dumps(VALID).encode())

    assert answer.status_code == 503
    assert {span.name: (span.attributes or {})["error.type"] for span in traces.spans} == {
        "POST /api/v1/produce": "503",
        "send transactions": "not-confirmed",
    }


# The tries -------------------------------------------------------------------------------------------


@asynccontextmanager
async def traced_world(*script: Outcome, **numbers: Any) -> AsyncIterator[tuple[World, Traces]]:
    """A consumer that is asked for one message, with the trace of whoever put it into the log."""
    traces = Traces()
    async with traces.tracer:
        options = EngineOptions(concurrency=8, **numbers)
        world = World(options=options, channel=ScriptedChannel(script=script))
        world.dispatching = partial(TracedDispatcher, traces.tracer)
        await put(world, "r-1")
        yield world, traces


async def put(world: World, request_id: str) -> None:
    value = json.dumps({"request_id": request_id, "email": "ada@example.test"}).encode()
    record = NewRecord(SHARD, None, value, (("traceparent", TRACEPARENT.encode()),))
    await MemoryPublisher(world.broker).publish([record])


def told(span: ReadableSpan, *names: str) -> list[Any]:
    return [(span.attributes or {}).get(f"herald.{name}") for name in names]


async def test_a_try_goes_on_from_the_record_and_the_providers_answer_from_the_try() -> None:
    async with traced_world(Delivered("queued as 7F3A")) as (world, traces), world.running():
        await world.clock.settle()

    assert traces.links() == [("process transactions", CLIENTS_SPAN), ("send email", "process transactions")]
    assert traces_of(traces.spans) == {TRACE}
    [process], [send] = traces.named("process transactions"), traces.named("send email")
    assert dict(process.attributes or {}) == {
        "messaging.system": "memory",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "transactions",
        "messaging.destination.partition.id": "0",
        "herald.offset": 0,
        "messaging.consumer.group.name": "email",
        "messaging.message.id": "r-1",
        "herald.result": "sent",
        "herald.attempts": 1,
        "herald.uncertain_attempts": 0,
    }
    assert told(send, "channel", "probe", "outcome", "provider_id") == [
        "email",
        False,
        "delivered",
        "queued as 7F3A",
    ]


async def test_each_try_of_a_message_is_a_step_of_one_trace_also_where_it_is_put_off() -> None:
    failures = [TryAgain("451 <ada@example.test> later") for _ in range(8)]
    async with traced_world(*failures) as (world, traces), world.running():
        await world.clock.advance(600.0)

    tries = traces.named("process transactions")
    assert [told(one, "result", "attempts") for one in tries] == [
        *(["retried", number] for number in range(1, 9)),
        ["sent", 9],
    ]
    assert traces_of(traces.spans) == {TRACE}
    assert {_id(one.parent) for one in tries} == {CLIENTS_SPAN}
    assert told(traces.named("send email")[0], "outcome", "reason") == ["try-again", "451 <***@***> later"]


@pytest.mark.parametrize(
    ("outcome", "state", "error"),
    [
        (Refused("550"), "dead", "refused"),
        (Uncertain("lost"), "uncertain", "uncertain"),
        (TryAgain("451"), "retried", "retried"),
    ],
)
async def test_what_a_failed_try_came_to_is_told(outcome: Outcome, state: str, error: str) -> None:
    async with traced_world(outcome) as (world, traces), world.running():
        await world.clock.settle()

    first = traces.named("process transactions")[0]
    assert told(first, "result") == [state]
    assert (first.attributes or {})["error.type"] == error


async def test_a_try_that_the_breaker_gives_back_is_told_and_costs_none() -> None:
    breaker = BreakerPolicy(channel_failures=1)
    async with traced_world(ChannelDown("refused"), breaker=breaker) as (world, traces), world.running():
        await world.clock.advance(5.0)

    assert [told(one, "result", "attempts") for one in traces.named("process transactions")] == [
        ["given-back", 0],
        ["sent", 1],
    ]
    assert [told(one, "probe") for one in traces.named("send email")] == [[False], [True]]


async def test_a_try_that_a_stop_cuts_off_says_so() -> None:
    async with traced_world(drain_seconds=1.0) as (world, traces):
        world.channel.hold = asyncio.Event()
        async with world.running() as running:
            await running.drain(10.0)

    assert {(span.attributes or {}).get("error.type") for span in traces.spans} == {"cut-off"}


# Off -------------------------------------------------------------------------------------------------

BUILD_ALL = """
import sys
from containers import Container
from entrypoints.settings_model import Settings
settings = Settings.model_validate({"broker": {"backend": "memory"}, "tracing": {"enabled": ENABLED}})
for group in ("", "email"):
    container = Container(settings=settings, group=group)
    container.produce(), container.tracer()
    group and container.engine()
print(sorted(name for name in sys.modules if name.startswith("opentelemetry."))[:1])
"""


def run_program(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)


def build_all(*, enabled: bool) -> str:
    return run_program(BUILD_ALL.replace("ENABLED", str(enabled))).stdout


def test_who_does_not_trace_does_not_import_it() -> None:
    assert build_all(enabled=False) == "[]\n"
    assert build_all(enabled=True) != "[]\n"


WITHOUT_EXTRA = """
import sys
sys.modules["opentelemetry"] = None
from entrypoints.cli import main
sys.exit(main(["api", *(word for given in sys.argv[1:] for word in ("--set", given))]))
"""


def test_without_the_extra_the_start_fails_with_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    given = ["tracing.enabled=true", "logging.file=", "api.port=0", f"sqlite.path={tmp_path / 'herald.db'}"]
    ended = run_program(WITHOUT_EXTRA, *given)

    assert ended.returncode == 1
    [line] = re.findall(r"(?m)^Error: .*", ended.stderr)
    assert "tracing.enabled is true, but OpenTelemetry is not installed" in line
    assert "-r requirements-tracing.txt" in line
    assert "Traceback" not in ended.stderr
