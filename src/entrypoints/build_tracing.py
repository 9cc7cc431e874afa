"""Builds what traces, where the settings ask for it. OpenTelemetry is imported only then."""

from collections.abc import Callable
from functools import partial

from application.counts import ProduceCounts
from application.dispatcher import Dispatcher, Parts
from application.produce import ProduceMessage
from domain.errors import HeraldError
from domain.ports import MessagePublisher
from domain.tracing import Tracer
from entrypoints.settings_model import Settings
from entrypoints.version import herald_version

_HOW_TO_INSTALL = (
    "tracing.enabled is true, but OpenTelemetry is not installed: "
    "pip install --no-deps --require-hashes -r requirements-tracing.txt, or set it to false"
)


def tracer(settings: Settings, group: str) -> Tracer | None:
    """None: nobody traces. Raises `HeraldError` where the extra is not installed."""
    if not settings.tracing.enabled:
        return None
    try:
        from adapters.otel_export import CollectorExporter
        from adapters.otel_tracing import OtelTracer, TracedProcess
    except ModuleNotFoundError as error:
        raise HeraldError(_HOW_TO_INSTALL) from error
    name = f"herald-consumer-{group}" if group else "herald-api"
    process = TracedProcess(name=name, version=herald_version(), log=settings.broker.backend)
    return OtelTracer(process, CollectorExporter)


def produce(
    publisher: MessagePublisher, settings: Settings, counts: ProduceCounts, tracer: Tracer | None
) -> ProduceMessage:
    topics = {topic.name: topic for topic in settings.configured_topics()}
    if tracer is None:
        return ProduceMessage(publisher, topics, counts)
    from application.traced_produce import TracedProduce

    return TracedProduce(tracer, publisher, topics, counts)


def dispatching(tracer: Tracer | None) -> Callable[[Parts, int, Callable[[], None]], Dispatcher]:
    """What makes the engine's dispatcher."""
    if tracer is None:
        return Dispatcher
    from application.traced_dispatcher import TracedDispatcher

    return partial(TracedDispatcher, tracer)
