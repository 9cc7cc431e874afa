"""What a browser without a key is shown: a page that takes one and then shows what was asked for."""

from collections.abc import Callable, Mapping

from entrypoints.problems import UNAUTHORIZED, Answer, answer
from entrypoints.web_page import HTML, WebPage, page_headers, web_page

_MARKUP = "herald-page"  # the name that web/sign_in.js gives its policy


class SignIn:
    """Answers strangers. `pages`: what stands at a path; it may be read from a file at the first call.

    The page that is opened takes the place of this one and keeps its policy, which is why that allows
    what the page needs.
    """

    def __init__(self, pages: Mapping[str, Callable[[], WebPage]]) -> None:
        self._pages = pages
        self._answers: dict[str, Answer] = {}

    def __call__(self, method: str, path: str, accept: bytes) -> Answer:
        """The sign-in page for a browser that opens a path, a problem document for all others."""
        if method not in {"GET", "HEAD"} or b"text/html" not in accept:
            return UNAUTHORIZED
        known = path if path in self._pages else ""
        if known not in self._answers:
            self._answers[known] = self._made(self._pages.get(known))
        return self._answers[known]

    @staticmethod
    def _made(load: Callable[[], WebPage] | None) -> Answer:
        page = web_page("sign_in", markup=_MARKUP)
        policy = page.policy if load is None else page.policy.joined(load().policy)
        headers = [(name.encode(), value.encode()) for name, value in page_headers(policy)]
        return answer(401, HTML.encode(), page.body, [*headers, (b"www-authenticate", b"Bearer")])
