"""Spans over OTLP/HTTP to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, by default on this machine.

An outage of the collector costs spans and two lines in the log: one when it begins, one when it is over.
"""

import logging
from collections.abc import Sequence
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger("herald.tracing")


class CollectorExporter(SpanExporter):
    """Called by one thread at a time. Exporting never raises.

    What is not given here say `OTEL_…` variables. Raises `ValueError` where one of them is not understood.
    """

    def __init__(self, url: str | None = None, timeout_seconds: float | None = None) -> None:
        # The library says each lost batch, and each dropped span; here the first one is said.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._session = _Session()
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=timeout_seconds, session=self._session)
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            logger.warning(
                "spans are lost, deliveries go on: the collector %s",
                self._session.trouble or "did not take them",
                extra={"action": "spans_lost"},
            )
        elif self._is_away and not is_away:
            logger.info("the collector takes spans again", extra={"action": "spans_taken"})
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's own is not annotated


class _Session(requests.Session):
    """Remembers why the last request failed: the library tells only that it did."""

    trouble = ""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.trouble = ""
        try:
            response = super().request(*args, **kwargs)
        except requests.Timeout:
            self.trouble = "does not answer in time"
            raise
        except requests.ConnectionError:
            self.trouble = "cannot be reached"
            raise
        except OSError as error:  # of which the library's own are kinds
            self.trouble = f"cannot be asked ({type(error).__name__})"
            raise
        if not response.ok:
            self.trouble = f"answers {response.status_code}"
        return response
