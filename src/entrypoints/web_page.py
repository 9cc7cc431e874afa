"""Pages for people: HTML, styles and scripts joined into one document, which may load nothing else."""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

WEB = Path(__file__).with_name("web")
HTML = "text/html; charset=utf-8"

_NOTHING = "'none'"
_STYLE = re.compile(r'<link rel="stylesheet" href="([^"/]+)">')
_SCRIPT = re.compile(r'<script((?: type="module")?) src="([^"/]+)"></script>')
# Either would end the script early, or keep it from ending; in JavaScript the backslash changes nothing.
_ENDING = re.compile(r"<(?=!--|/script)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePolicy:
    """What a page's Content-Security-Policy lets it do.

    `scripts` and `styles`: the hashes of those that stand in it, no other runs. `frames`: it may show
    frames of its own host. `markup`: nothing (no script may turn text into markup), the name of the one
    policy that may, or `*` for a library that does so itself.
    """

    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    frames: bool = False
    markup: str = ""

    def joined(self, other: "PagePolicy") -> "PagePolicy":
        """What both may do: for a document that takes the place of another keeps the other's policy."""
        return PagePolicy(
            scripts=self.scripts + other.scripts,
            styles=self.styles + other.styles,
            frames=self.frames or other.frames,
            markup="*" if "*" in {self.markup, other.markup} else self.markup or other.markup,
        )

    def __str__(self) -> str:
        frames = ("frame-src 'self'",) if self.frames else ()
        markup = ("require-trusted-types-for 'script'", f"trusted-types {self.markup or _NOTHING}")
        return "; ".join(
            (
                "default-src 'none'",
                f"script-src {' '.join(self.scripts)}",
                f"style-src {' '.join(self.styles)}",
                "img-src data:",
                "connect-src 'self'",
                *frames,
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "form-action 'none'",
                *(() if self.markup == "*" else markup),
            )
        )


@dataclass(frozen=True, slots=True)
class WebPage:
    """A whole document and what it may do."""

    body: bytes
    policy: PagePolicy

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What is sent beside its type and length."""
        return page_headers(self.policy)


def page_headers(policy: PagePolicy) -> tuple[tuple[str, str], ...]:
    return (
        ("content-security-policy", str(policy)),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    )


@cache
def web_page(name: str, *, frames: bool = False, markup: str = "") -> WebPage:
    """The page of `web/{name}.html`, with the style sheets and scripts beside it that it names."""
    page = assembled(web_file(f"{name}.html"), web_file)
    return replace(page, policy=replace(page.policy, frames=frames, markup=markup))


def web_file(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def assembled(html: str, read: Callable[[str], str]) -> WebPage:
    """Puts each style sheet and script that `html` names in its place; `read` gives a file's text."""
    styles: list[str] = []
    scripts: list[str] = []

    def style(link: re.Match[str]) -> str:
        text = read(link[1])
        styles.append(_source(text))
        return f"<style>{text}</style>"

    def script(link: re.Match[str]) -> str:
        text = _ENDING.sub(r"<\\", read(link[2]))
        scripts.append(_source(text))
        return f"<script{link[1]}>{text}</script>"

    body = _SCRIPT.sub(script, _STYLE.sub(style, html))
    return WebPage(body.encode(), PagePolicy(scripts=tuple(scripts), styles=tuple(styles)))


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
