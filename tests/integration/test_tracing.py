"""One trace from the request to the provider's answer, through real processes, over both logs."""

import time

from tests.collector import Collector, ReceivedSpan, collecting
from tests.site import Site, eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def trace_to(site: Site, collector: Collector) -> None:
    site.environ |= {
        "HERALD_TRACING__ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


async def post_traced(site: Site, request_id: str) -> None:
    message = {"topic_name": site.topic, "request_id": request_id, "email": "ada@example.test"}
    url = f"{site.api}/api/v1/produce"
    answer = await site.http.post(
        url, json={**message, "phone": "+12025550143"}, headers={"traceparent": TRACEPARENT}
    )
    assert answer.status_code == 202, answer.text


async def has_spans(collector: Collector, count: int) -> bool:
    async def all_there() -> bool:
        return len(collector.spans) >= count

    return await eventually(all_there)


def links(spans: list[ReceivedSpan]) -> set[tuple[str, str, str]]:
    """Each span as: who sent it, its name, the name of its parent."""
    names = {span.id: span.name for span in spans}
    return {(span.service, span.name, names.get(span.parent, span.parent)) for span in spans}


async def test_a_message_is_one_trace_from_the_request_to_the_answers_of_both_providers(
    any_site: Site,
) -> None:
    with collecting() as collector:
        trace_to(any_site, collector)
        await any_site.start_all()

        await post_traced(any_site, "traced-1")

        assert await has_spans(collector, 6), any_site.output()

    topic = any_site.topic
    assert {span.trace for span in collector.spans} == {TRACE}
    assert links(collector.spans) == {
        ("herald-api", "POST /api/v1/produce", "00f067aa0ba902b7"),
        ("herald-api", f"send {topic}", "POST /api/v1/produce"),
        ("herald-consumer-email", f"process {topic}", f"send {topic}"),
        ("herald-consumer-email", "send email", f"process {topic}"),
        ("herald-consumer-sms", f"process {topic}", f"send {topic}"),
        ("herald-consumer-sms", "send sms", f"process {topic}"),
    }
    assert {span.attributes["herald.result"] for span in collector.named(f"process {topic}")} == {"sent"}
    assert [span for span in collector.spans if "ada@" in str(span) or "2025550143" in str(span)] == []


async def test_a_collector_that_answers_nothing_holds_up_neither_a_delivery_nor_a_stop(
    sqlite_site: Site,
) -> None:
    with collecting() as collector:
        collector.hangs = True
        trace_to(sqlite_site, collector)
        await sqlite_site.start_all()

        for number in range(20):
            await post_traced(sqlite_site, f"held-{number}")
        assert await sqlite_site.arrived(emails=20, sms=20, seconds=20.0)
        assert collector.requests > 0
        started = time.monotonic()
        await sqlite_site.close()

        assert time.monotonic() - started < 10.0
        assert {process.returncode for process in sqlite_site.running} == {0}
