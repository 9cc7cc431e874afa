"""Plain SVG: a page with its title, texts that can be selected, and colours for light and for dark."""

from collections.abc import Iterable
from html import escape

WIDTH = 760
MARGIN = 16
TOP = 64  # below title and subtitle
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.title { font-weight: 600; font-size: 15px; }
.quiet { fill: var(--quiet); font-size: 12px; }
.page { fill: var(--page); }
.grid { stroke: var(--grid); stroke-width: 1; }
.bar { fill: var(--c3); } .floor { fill: var(--grid); } .ours { fill: var(--c0); }
.line { fill: none; stroke-width: 2; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); stroke-dasharray: 7 3; }
.c2 { stroke: var(--c2); stroke-dasharray: 2 3; } .c3 { stroke: var(--c3); stroke-dasharray: 9 3 2 3; }
:root { --page: #ffffff; --ink: #1f2328; --quiet: #59636e; --grid: #d1d9e0;
  --c0: #0b6bcb; --c1: #b35900; --c2: #1a7f37; --c3: #8c959f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0d1117; --ink: #f0f6fc; --quiet: #9198a1; --grid: #3d444d;
    --c0: #58a6ff; --c1: #f0883e; --c2: #3fb950; --c3: #6e7681; }
}
"""


def page(title: str, subtitle: str, height: float, shapes: Iterable[str]) -> str:
    """The whole file. A reader that cannot see it is told the title and all texts in their order."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">'
    lines = [
        head,
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height:g}" rx="6"/>',
        text(MARGIN, 28, title, "title"),
        text(MARGIN, 47, subtitle, "quiet"),
        *shapes,
        "</svg>",
    ]
    return "".join(f"{line}\n" for line in lines)


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    anchor = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{anchor}>{escape(content)}</text>'


def bar(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"/>'


def line(points: Iterable[tuple[float, float]], kind: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'
