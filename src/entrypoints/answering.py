"""What Litestar's routes do alike: look at the key, and give an answer as it is."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response

from entrypoints.api_keys import Grant, Keys
from entrypoints.problems import UNAUTHORIZED, Answer


async def for_bearer(
    keys: Keys, request: Request[Any, Any, Any], page: Callable[[Grant], Awaitable[Answer]]
) -> Response[bytes]:
    """The front door let the asker in; the keys may have changed since then."""
    grant = keys.grant(dict(request.scope["headers"]).get(b"authorization"))
    return response_of(UNAUTHORIZED if grant is None else await page(grant))


def response_of(answer: Answer) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, status_code=answer.status, headers=headers)
