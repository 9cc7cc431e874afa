"""One process that answers the API: opened, served until a signal, closed."""

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from containers import Container
from domain.errors import HeraldError
from domain.topic import Topic
from entrypoints.api_keys import KeyRing, Keys, KeysFile, NoKeys, keys_given
from entrypoints.api_server import ApiServer
from entrypoints.asyncapi import asyncapi_document
from entrypoints.boot_topics import apply_topics_at_boot, topics_made_elsewhere
from entrypoints.child_process import ParentLink, tell_when_ready
from entrypoints.http_api import ApiParts, create_app
from entrypoints.metrics import render_produce_metrics
from entrypoints.rare_collections import rare_collections
from entrypoints.screen import tell
from entrypoints.supervised_child import ChildSpec
from entrypoints.supervisor import Supervisor, SupervisorTimes
from entrypoints.version import herald_version
from entrypoints.worker_counts import WorkerCounts

logger = logging.getLogger("herald.process")

_GRACE_MARGIN_SECONDS = 1.0
_CHILD_STOP_SECONDS = 2.0

Duty = Callable[[], Coroutine[Any, Any, None]]
"""Work beside the answers, until it is done or the process ends."""


class ApiProcess:
    """Serves the API on `listener`.

    `shared`: how the counts of other workers are asked for; None when there are none. `has_duties`: whether
    this process does what only one of an API's workers does, making topics and pruning the embedded log.
    `status_child`: keeps the view of what became of messages; run beside the answers.
    """

    def __init__(
        self,
        container: Container,
        listener: socket.socket,
        link: ParentLink,
        *,
        shared: WorkerCounts | None = None,
        has_duties: bool = True,
        status_child: ChildSpec | None = None,
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        self._container = container
        self._settings = container.settings()
        self._listener = listener
        self._link = link
        self._shared = shared
        self._has_duties = has_duties
        self._status_child = status_child
        self._on_started = on_started
        self._publisher = container.publisher()
        self._topics_made = asyncio.Event()

    async def run(self, url: str) -> None:
        """Returns after a stop. `url`: what the supervisor is told once the log answers.

        Raises `HeraldError` when the API cannot do its job and a person has to act.
        """
        async with AsyncExitStack() as stack:
            if (tracer := self._container.tracer()) is not None:
                await stack.enter_async_context(tracer)
            await stack.enter_async_context(self._container.topic_catalog())
            await stack.enter_async_context(self._publisher)
            await stack.enter_async_context(self._container.status_view())
            await stack.enter_async_context(self._container.group_lags())
            await stack.enter_async_context(self._container.dead_letter_archive())
            await stack.enter_async_context(self._container.presence())
            stack.push_async_callback(self._container.take_readings().close)
            if self._shared is not None:
                await stack.enter_async_context(self._shared)
            grace = self._settings.api.publish_timeout_seconds + _GRACE_MARGIN_SECONDS
            server = ApiServer(create_app(self._parts()), grace, self._say_started)
            duties: list[Duty] = [lambda: self._get_ready(url), self._sample_board]
            if self._has_duties and (retention := self._container.retention()) is not None:
                await stack.enter_async_context(retention)
                duties.append(retention.run)
            if (child := self._status_child) is not None:
                duties.append(lambda: _keep_running(child))
            with rare_collections():
                await _serve(server, self._listener, duties)
        logger.info("API stopped", extra={"action": "api_stopped"})

    async def _get_ready(self, url: str) -> None:
        """Topics before the word of readiness: a mismatch is a reason not to start at all."""
        self._link.tell_waiting("the log does not answer yet")
        if self._has_duties:
            await apply_topics_at_boot(
                self._container.apply_topics(),
                self._container.clock(),
                warns_of_single_copies=self._settings.broker.backend == "kafka",
            )
        else:  # another worker makes them
            await topics_made_elsewhere(self._container.apply_topics().list_topics, self._container.clock())
        self._topics_made.set()
        await tell_when_ready(self._link, self._publisher.unready, url=url)

    async def _sample_board(self) -> None:
        await self._topics_made.wait()
        await self._container.board().sample_always()

    async def _unready(self) -> str | None:
        """Until the topics are there the log may answer and yet take no message."""
        reason = await self._publisher.unready()
        return reason or (None if self._topics_made.is_set() else "the topics are not made yet")

    def _say_started(self) -> None:
        host, port = self._listener.getsockname()[:2]
        logger.info("API started", extra={"action": "api_started", "host": host, "port": port})
        self._on_started()

    def _parts(self) -> ApiParts:
        settings = self._settings
        return ApiParts(
            decode=self._container.request_decoder(),
            produce=self._container.produce(),
            unready=self._unready,
            list_topics=self._list_topics,
            read_status=self._container.read_status(),
            read_lags=self._container.read_lags(),
            archive=self._container.dead_letter_archive(),
            board=self._container.board(),
            log=settings.broker.backend,
            render_metrics=self._render_metrics,
            # Open before the first request and closed after the last: the same stack does both.
            lifespan=contextlib.nullcontext,
            counts=self._container.produce_counts(),
            clock=self._container.clock(),
            tracer=self._container.tracer(),
            own_names_only=not (settings.api.asks_for_keys() or settings.api.anonymous),
            version=herald_version(),
            asyncapi=asyncapi_document(herald_version(), settings),
            replay_seconds=settings.api.publish_timeout_seconds,
            topics=[topic.name for topic in settings.topics],
            keys=self._keys(),
            max_body_bytes=settings.api.max_body_bytes,
            max_batch_bytes=settings.api.max_batch_bytes,
            max_batch_messages=settings.api.max_batch_messages,
            max_waiting_bytes=settings.api.max_waiting_bytes,
        )

    def _keys(self) -> Keys:
        api = self._settings.api
        if api.keys_file:
            return KeysFile(Path(api.keys_file), self._container.clock().monotonic)
        return KeyRing(keys_given(api.keys.get_secret_value())) if api.asks_for_keys() else NoKeys()

    async def _list_topics(self) -> Sequence[Topic]:
        """The configured topics with the numbers that the log has."""
        configured = {topic.name: topic for topic in self._settings.configured_topics()}
        return [
            replace(
                configured[listed.plan.name],
                partitions=listed.partitions,
                replication_factor=listed.replication_factor,
            )
            for listed in await self._container.apply_topics().list_topics()
            if listed.own_of is None
        ]

    async def _render_metrics(self) -> bytes:
        counts = await self._shared.total() if self._shared else self._container.produce_counts()
        return render_produce_metrics(counts, herald_version())


async def _serve(server: ApiServer, listener: socket.socket, duties: Sequence[Duty]) -> None:
    """Until the server is stopped, by a signal or by a duty that fails; raises what the duty raised."""
    running = [asyncio.create_task(duty()) for duty in duties]
    for task in running:
        task.add_done_callback(lambda task: _stop_if_failed(server, task))
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _keep_running(child: ChildSpec) -> None:
    """For ever. Produce requests do not need it, so nothing that becomes of it ends the API."""
    await Supervisor([child], tell, SupervisorTimes(start=math.inf, stop=_CHILD_STOP_SECONDS)).run(
        lambda _: None
    )


def _stop_if_failed(server: ApiServer, duty: asyncio.Task[None]) -> None:
    if not duty.cancelled() and (error := duty.exception()) is not None:
        text = str(error) if isinstance(error, HeraldError) else type(error).__name__
        logger.critical("The API ends: %s", text, extra={"action": "api_failed"})
        server.stop()
