"""Produces as `ProduceMessage` does, each call a step of its request's trace."""

from collections.abc import Mapping, Sequence

from application.counts import ProduceCounts
from application.produce import Accepted, Produced, ProduceMessage
from domain.log import USUAL_HEADERS, Headers
from domain.message import ProduceRequest
from domain.ports import MessagePublisher
from domain.topic import Topic
from domain.tracing import Tracer


class TracedProduce(ProduceMessage):
    """Its records carry the step's own place in the trace, and not the one that the request came with.

    A class of its own, so that who does not trace pays nothing for it.
    """

    def __init__(
        self, tracer: Tracer, publisher: MessagePublisher, topics: Mapping[str, Topic], counts: ProduceCounts
    ) -> None:
        super().__init__(publisher, topics, counts)
        self._tracer = tracer
        self._topics = topics

    async def one(self, request: ProduceRequest, headers: Headers = USUAL_HEADERS) -> Produced:
        if request.topic_name not in self._topics:  # a client's own word, which belongs into no span
            return await super().one(request, headers)
        with self._tracer.produce((request.topic_name,), (request.request_id,)) as span:
            produced = await super().one(request, (*USUAL_HEADERS, *span.headers))
            span.confirmed(int(isinstance(produced, Accepted)))
        return produced

    async def many(
        self, requests: Sequence[ProduceRequest], headers: Headers = USUAL_HEADERS
    ) -> list[Produced]:
        known = [request for request in requests if request.topic_name in self._topics]
        if not known:
            return await super().many(requests, headers)
        topics = (request.topic_name for request in known)
        with self._tracer.produce(topics, [request.request_id for request in known]) as span:
            produced = await super().many(requests, (*USUAL_HEADERS, *span.headers))
            span.confirmed(sum(isinstance(one, Accepted) for one in produced))
        return produced
