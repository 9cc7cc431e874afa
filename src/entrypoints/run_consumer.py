"""`herald consumer`: one process of a consumer group."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from containers import Container
from domain.errors import HeraldError
from entrypoints.boot_topics import apply_topics_at_boot
from entrypoints.child_process import ParentLink, end_with_parent, tell_when_ready
from entrypoints.consumer_metrics import ConsumerMetrics
from entrypoints.consumer_probes import ConsumerProbes, serving_probes
from entrypoints.logs import configure_logging, say
from entrypoints.presence_reports import report_presence
from entrypoints.rare_collections import rare_collections
from entrypoints.screen import tell
from entrypoints.settings import Loaded
from entrypoints.stop_signals import stopping_on_signals
from entrypoints.version import herald_version
from entrypoints.welcome import url_of

if TYPE_CHECKING:
    from application.delivery_engine import DeliveryEngine
    from domain.ports import MessageLog

logger = logging.getLogger("herald.process")

LEAVE_SECONDS = 1.0


def run_consumer(loaded: Loaded, group: str, supervised_by: int | None = None) -> int:
    """Runs until SIGTERM or Ctrl-C; the exit code."""
    settings = loaded.settings
    try:
        with contextlib.closing(configure_logging(settings.logging, f"consumer-{group}", loaded.secrets())):
            link = end_with_parent(supervised_by)
            container = Container(settings=settings, group=group)
            _expect_topics(container, group)
            return asyncio.run(serve_consumer(container, group, link))
    except HeraldError as error:
        say(str(error))
        return 1


def _expect_topics(container: Container, group: str) -> None:
    if not container.subscribed():
        raise HeraldError(f"no topic is for the group {group}: name it in a topic's groups")


async def serve_consumer(container: Container, group: str, link: ParentLink) -> int:
    """Opens what the container built, delivers until a signal, closes. Raises `HeraldError`."""
    stop = asyncio.Event()
    with stopping_on_signals(stop.set):
        try:
            await ConsumerProcess(container, group, link).run(stop)
        except HeraldError as error:
            logger.critical("The consumer ends: %s", error, extra={"action": "consumer_failed"})
            raise
    logger.info("Consumer stopped", extra={"action": "consumer_stopped", "group": group})
    return 0


class ConsumerProcess:
    """What one process of a group runs, from its first port to its last commit."""

    def __init__(self, container: Container, group: str, link: ParentLink) -> None:
        self._container = container
        self._group = group
        self._link = link
        self._settings = container.settings()
        self._engine: DeliveryEngine = container.engine()
        self._log: MessageLog = container.message_log()
        self._is_open = False

    async def run(self, stop: asyncio.Event) -> None:
        """Health first, so that a log that is away can be seen; then topics, then messages."""
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(self._serving_probes())
            logger.info(
                "Consumer started",
                extra={"action": "consumer_started", "group": self._group, "health_port": port},
            )
            self._announce(port)
            if (tracer := self._container.tracer()) is not None:
                await stack.enter_async_context(tracer)
            telling = asyncio.create_task(tell_when_ready(self._link, self._unready))
            stack.callback(telling.cancel)
            await stack.enter_async_context(self._telling_others())
            await stack.enter_async_context(self._container.topic_catalog())
            if not await _before(stop, self._make_topics()):
                return
            await stack.enter_async_context(self._container.sender())
            await stack.enter_async_context(self._container.dead_letters())
            await stack.enter_async_context(self._container.ledger())
            await stack.enter_async_context(self._container.discard_orders())
            await stack.enter_async_context(self._log)
            for retention in (self._container.ledger_retention(), self._container.dead_letter_retention()):
                if retention is not None:
                    await stack.enter_async_context(retention)
                    pruning = asyncio.create_task(retention.run())
                    stack.callback(pruning.cancel)
            self._is_open = True
            with rare_collections():
                await self._engine.run(stop)

    @contextlib.asynccontextmanager
    async def _telling_others(self) -> AsyncIterator[None]:
        """Also while it waits for the log, if others can be told then. Leaving takes a moment at the most."""
        async with self._container.presence() as presence:
            report = report_presence(
                presence,
                self._engine,
                self._container.clock(),
                self._group,
                tuple(self._container.subscribed()),
                self._unready,
                self._container.presence_times(),
            )
            telling = asyncio.create_task(report.run())
            try:
                yield
            finally:
                telling.cancel()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_SECONDS):
                        await report.leave()

    def _announce(self, port: int) -> None:
        if not self._link.is_supervised:
            url = url_of(self._settings.consumer.host, port)
            tell(f"Herald's consumer {self._group}: health and metrics at {url}. Ctrl-C stops it.")

    def _serving_probes(self) -> contextlib.AbstractAsyncContextManager[int]:
        metrics = ConsumerMetrics(
            counts=self._engine.counts,
            snapshot=self._engine.snapshot,
            version=herald_version(),
            started_at=self._container.clock().now(),
        )
        probes = ConsumerProbes(live=self._stalled, ready=self._unready, metrics=metrics.text)
        return serving_probes(probes, self._settings.consumer.host, self._settings.consumer.port)

    async def _make_topics(self) -> None:
        await apply_topics_at_boot(
            self._container.apply_topics(),
            self._container.clock(),
            warns_of_single_copies=self._settings.broker.backend == "kafka",
        )

    def _stalled(self) -> str | None:
        return "nothing moves though there is work" if self._engine.stalled() else None

    async def _unready(self) -> str | None:
        if not self._is_open:
            return "the log does not answer yet"
        return await self._log.unready() or self._engine.trouble()


async def _before(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` ended before `stop` was asked for; if not, it is cancelled. Raises what it raises."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        working.cancel()
        stopping.cancel()
