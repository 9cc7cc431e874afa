"""The ASGI function before the Litestar application: keys, and the short way for produce requests."""

from collections.abc import Mapping

from entrypoints.api_keys import Keys
from entrypoints.endpoint import AnswersPosts
from entrypoints.foreign_pages import may_be_rebound
from entrypoints.plain_http import ASGIApp, ASGIMessage, Receive, Send
from entrypoints.problems import Answer, Problem, ProblemKind
from entrypoints.sign_in import SignIn

OPEN = "/health/"

_REBOUND = Problem(
    ProblemKind.FOREIGN_ORIGIN,
    "Without keys Herald on loopback answers to addresses and localhost alone, so that no other site's page"
    " can read it: set api.keys_file, or api.anonymous = true.",
).answer()


class FrontDoor:
    """Lets in who has a key; `/health/*` is open to all.

    POST to a path of `endpoints` is answered here when `hot`, otherwise by the application's routes: they
    ask the same endpoint, which looks at the key itself. Keys are asked for before the path is looked at,
    so that a stranger cannot tell what exists. `sign_in` says what a stranger is told. `own_names_only`:
    whoever asks for what is not produced must call this machine by a name that a page of another site cannot
    have.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        endpoints: Mapping[str, AnswersPosts],
        sign_in: SignIn,
        *,
        hot: bool,
        own_names_only: bool = False,
    ) -> None:
        self._app = app
        self._keys = keys
        self._endpoints = endpoints
        self._sign_in = sign_in
        self._hot = hot
        self._own_names_only = own_names_only

    async def __call__(self, scope: ASGIMessage, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        endpoint = self._endpoints.get(scope["path"]) if scope["method"] == "POST" else None
        if endpoint is None:
            await self._elsewhere(scope, receive, send)
        elif self._hot:
            await say(await endpoint.answer(scope["headers"], receive), send)
        else:
            await self._app(scope, receive, send)

    async def _elsewhere(self, scope: ASGIMessage, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["path"].startswith(OPEN):
            await self._app(scope, receive, send)
        elif self._own_names_only and may_be_rebound(headers.get(b"host", b"").decode("latin-1")):
            await say(_REBOUND, send)
        elif self._keys.grant(headers.get(b"authorization")) is not None:
            await self._app(scope, receive, send)
        else:
            await say(self._sign_in(scope["method"], scope["path"], headers.get(b"accept", b"")), send)


async def say(answer: Answer, send: Send) -> None:
    """Sends an answer whole."""
    status, headers, body = answer
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
