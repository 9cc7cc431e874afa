"""An endpoint whose requests are the first step of a trace, or the next one where the client began it."""

from domain.tracing import Tracer
from entrypoints.endpoint import AnswersPosts
from entrypoints.plain_http import Receive
from entrypoints.problems import Answer, RawHeaders


class TracedEndpoint:
    """Answers as `endpoint` does; what that does meanwhile are steps within its own."""

    def __init__(self, tracer: Tracer, path: str, endpoint: AnswersPosts) -> None:
        self._tracer = tracer
        self._path = path
        self._endpoint = endpoint

    async def answer(self, headers: RawHeaders, receive: Receive) -> Answer:
        with self._tracer.request(self._path, headers) as span:
            answer = await self._endpoint.answer(headers, receive)
            span.answered(answer.status)
        return answer
