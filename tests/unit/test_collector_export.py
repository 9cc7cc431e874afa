"""Spans on their way to a collector that answers, refuses, hangs, or is not there."""

import logging
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from adapters.otel_export import CollectorExporter
from adapters.otel_tracing import OtelTracer, TracedProcess
from domain.errors import HeraldError
from tests.collector import Collector, collecting
from tests.free_ports import free_ports

PROCESS = TracedProcess(name="herald-test", version="1.2.3", log="memory")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def said(lines: pytest.LogCaptureFixture) -> list[str]:
    """All that stands in the log, whoever said it."""
    return [record.getMessage() for record in lines.records]


def exporter_to(url: str, timeout_seconds: float = 0.3) -> CollectorExporter:
    return CollectorExporter(f"{url}/v1/traces", timeout_seconds)


def one_span() -> list[ReadableSpan]:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("step")
    span.end()
    assert isinstance(span, ReadableSpan)
    return [span]


async def test_spans_reach_the_collector_when_the_process_ends_at_the_latest(
    collector: Collector, lines: pytest.LogCaptureFixture
) -> None:
    async with OtelTracer(PROCESS, lambda: exporter_to(collector.url)) as tracer:
        with tracer.request("/api/v1/produce", []) as span:
            span.answered(202)

    [received] = collector.spans
    assert (received.service, received.name, received.kind) == (
        "herald-test",
        "POST /api/v1/produce",
        "server",
    )
    assert received.attributes["http.response.status_code"] == 202
    assert said(lines) == []


@pytest.mark.parametrize(
    ("status", "trouble"), [(400, "answers 400"), (401, "answers 401"), (503, "answers 503")]
)
def test_an_outage_is_one_line_when_it_begins_and_one_when_it_is_over(
    collector: Collector, lines: pytest.LogCaptureFixture, status: int, trouble: str
) -> None:
    exporter = exporter_to(collector.url)
    collector.status = status
    outcomes = [exporter.export(one_span()) for _ in range(3)]
    collector.status = 200
    outcomes.append(exporter.export(one_span()))

    assert outcomes == [*[SpanExportResult.FAILURE] * 3, SpanExportResult.SUCCESS]
    assert said(lines) == [
        f"spans are lost, deliveries go on: the collector {trouble}",
        "the collector takes spans again",
    ]


def test_a_collector_that_is_not_there_is_one_line(lines: pytest.LogCaptureFixture) -> None:
    (port,) = free_ports(1)
    exporter = exporter_to(f"http://127.0.0.1:{port}")

    assert {exporter.export(one_span()) for _ in range(2)} == {SpanExportResult.FAILURE}
    assert said(lines) == ["spans are lost, deliveries go on: the collector cannot be reached"]


def test_a_collector_that_hangs_is_not_waited_for(
    collector: Collector, lines: pytest.LogCaptureFixture
) -> None:
    collector.hangs = True

    assert exporter_to(collector.url).export(one_span()) is SpanExportResult.FAILURE
    assert said(lines) == ["spans are lost, deliveries go on: the collector does not answer in time"]


async def test_leaving_waits_for_a_collector_that_hangs_only_so_long(collector: Collector) -> None:
    collector.hangs = True
    async with OtelTracer(PROCESS, lambda: exporter_to(collector.url, 30.0), flush_seconds=0.05) as tracer:
        with tracer.request("/api/v1/produce", []) as span:
            span.answered(202)
        left = time.monotonic()

    assert 0.04 < time.monotonic() - left < 10.0


async def test_a_variable_that_is_not_understood_stops_the_start_with_a_line() -> None:
    def refuse() -> SpanExporter:
        raise ValueError("could not convert string to float: 'soon'")

    with pytest.raises(HeraldError, match=r"OTEL_: could not convert string to float: 'soon'"):
        async with OtelTracer(PROCESS, refuse):
            pass
