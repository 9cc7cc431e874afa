"""Traces by OpenTelemetry, named by its semantic conventions for HTTP and messaging; our own begin `herald.`.

Where spans go to, how many are kept and which traces are sampled say OpenTelemetry's own variables, `OTEL_…`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from adapters.one_off_thread import in_thread
from domain.errors import HeraldError
from domain.log import Headers, Record
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.personal_data import mask
from domain.tracing import TryResult

_SERVER_FAULT = 500
_LONGEST_STATE = (
    512  # what W3C asks to be passed on at the least; a record must not swell by what a client adds
)
_OUTCOMES = {
    Delivered: "delivered",
    TryAgain: "try-again",
    Refused: "refused",
    ChannelDown: "channel-down",
    Uncertain: "uncertain",
}
_BAD_STATES = {"dead", "retried", "uncertain"}

_context_of = TraceContextTextMapPropagator().extract
_inject = TraceContextTextMapPropagator().inject


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedProcess:
    """Who traces: `name` unless `OTEL_SERVICE_NAME` says otherwise; `log`: what keeps messages."""

    name: str
    version: str
    log: str


class OtelTracer:
    """Hands finished spans to a thread that exports them in batches; a full queue drops the oldest.

    Before it is entered and after it is left, spans go nowhere. Leaving gives what is left `flush_seconds`.
    """

    def __init__(
        self, process: TracedProcess, exporter: Callable[[], SpanExporter], flush_seconds: float = 2.0
    ) -> None:
        self._process = process
        self._exporter = exporter
        self._flush_seconds = flush_seconds
        self._provider: TracerProvider | None = None
        self._tracer: Tracer = NoOpTracer()

    async def __aenter__(self) -> Self:
        process = self._process
        own = {
            "service.name": process.name,
            "service.namespace": "herald",
            "service.version": process.version,
        }
        resource = Resource.create(own).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        try:
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter()))
        except ValueError as error:
            raise HeraldError(f"OpenTelemetry refuses a variable that begins with OTEL_: {error}") from error
        self._tracer = self._provider.get_tracer("herald", process.version)
        return self

    async def __aexit__(self, *_: object) -> None:
        provider, self._provider, self._tracer = self._provider, None, NoOpTracer()
        if provider is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush_seconds):
                    await in_thread("spans flush", provider.shutdown)

    @contextmanager
    def request(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator["RequestOtelSpan"]:
        attributes = {
            "http.request.method": "POST",
            "http.route": path,
            "url.path": path,
            "url.scheme": "http",
        }
        carrier = _carrier((name.decode("latin-1"), value) for name, value in headers)
        with self._span(f"POST {path}", SpanKind.SERVER, attributes, carrier) as span:
            yield RequestOtelSpan(span)

    @contextmanager
    def produce(self, topics: Iterable[str], request_ids: Iterable[str]) -> Iterator["ProduceOtelSpan"]:
        names, ids = set(topics), list(request_ids)
        attributes: dict[str, str | int] = self._messaging("send")
        target = names.pop() if len(names) == 1 else ""
        if target:
            attributes["messaging.destination.name"] = target
        if len(ids) == 1:
            attributes["messaging.message.id"] = ids[0]
        else:
            attributes["messaging.batch.message_count"] = len(ids)
        with self._span(f"send {target}".rstrip(), SpanKind.PRODUCER, attributes) as span:
            yield ProduceOtelSpan(span, len(ids))

    @contextmanager
    def trying(self, group: str, record: Record, request_id: str) -> Iterator["TryOtelSpan"]:
        topic, partition = record.shard
        attributes: dict[str, str | int] = {
            **self._messaging("process"),
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset" if self._process.log == "kafka" else "herald.offset": record.offset,
            "messaging.consumer.group.name": group,
            "messaging.message.id": request_id,
        }
        with self._span(f"process {topic}", SpanKind.CONSUMER, attributes, _carrier(record.headers)) as span:
            yield TryOtelSpan(span)

    @contextmanager
    def sending(self, group: str, *, probe: bool) -> Iterator["SendOtelSpan"]:
        attributes = {"herald.channel": group, "herald.probe": probe}
        with self._span(f"send {group}", SpanKind.CLIENT, attributes) as span:
            yield SendOtelSpan(span)

    def _messaging(self, operation: str) -> dict[str, str | int]:
        return {
            "messaging.system": self._process.log,
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
        }

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: Any, carrier: dict[str, str] | None = None
    ) -> Iterator[Span]:
        """`carrier`: from another process; None: within the span that is open."""
        with self._tracer.start_as_current_span(
            name,
            context=None if carrier is None else _context_of(carrier),
            kind=kind,
            attributes=attributes,
            # Their texts may hold what is personal.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                _fail(span, "cut-off" if isinstance(error, asyncio.CancelledError) else type(error).__name__)
                raise


class RequestOtelSpan:
    """See `domain.tracing.RequestSpan`."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def answered(self, status: int) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_FAULT:
            _fail(self._span, str(status))


class ProduceOtelSpan:
    """See `domain.tracing.ProduceSpan`."""

    def __init__(self, span: Span, messages: int) -> None:
        self._span = span
        self._messages = messages

    @property
    def headers(self) -> Headers:
        carrier: dict[str, str] = {}
        _inject(carrier)
        if len(carrier.get("tracestate", "")) > _LONGEST_STATE:
            del carrier["tracestate"]
        return tuple((name, value.encode()) for name, value in carrier.items())

    def confirmed(self, messages: int) -> None:
        if messages < self._messages:
            self._span.set_attribute("herald.confirmed_messages", messages)
            _fail(self._span, "not-confirmed")


class TryOtelSpan:
    """See `domain.tracing.TrySpan`."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def came_to(self, result: TryResult) -> None:
        self._span.set_attributes(
            {
                "herald.result": result.state,
                "herald.attempts": result.attempts,
                "herald.uncertain_attempts": result.uncertain_attempts,
            }
        )
        if result.state in _BAD_STATES:
            _fail(self._span, result.reason or result.state)


class SendOtelSpan:
    """See `domain.tracing.SendSpan`."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def answered(self, outcome: Outcome) -> None:
        name = _OUTCOMES[type(outcome)]
        self._span.set_attribute("herald.outcome", name)
        if isinstance(outcome, Delivered):
            self._span.set_attribute("herald.provider_id", mask(outcome.provider_id))
        else:
            self._span.set_attribute("herald.reason", mask(outcome.reason))
            _fail(self._span, name)


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def _carrier(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """The two headers of W3C Trace Context; a `tracestate` may come in parts."""
    found: dict[str, list[str]] = {"traceparent": [], "tracestate": []}
    for name, value in headers:
        if name in found:
            found[name].append(value.decode("latin-1"))
    return {name: _whole(name, values) for name, values in found.items() if values}


def _whole(name: str, values: Sequence[str]) -> str:
    return ",".join(values) if name == "tracestate" else values[-1]
