"""Pages in Markdown, taken apart so that a test can hold what they say against the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
READ_BY_PEOPLE = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_SETS_ENVIRONMENT = re.compile(r"[A-Z_]+=")


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    """What stands in fences of these languages."""
    return [body for language, body in _FENCE.findall(text) if language in languages]


def spans(text: str) -> list[str]:
    """What stands in single backquotes, outside fences."""
    return _SPAN.findall(_FENCE.sub("", text))


def section(text: str, heading: str) -> str:
    """From a heading to the next one of its level or above."""
    found = [(match.start(), len(match[1]), match[2]) for match in _HEADING.finditer(_without_fences(text))]
    start, level = next((at, level) for at, level, title in found if title == heading)
    end = next((at for at, other, _ in found if at > start and other <= level), len(text))
    return text[start:end]


def _without_fences(text: str) -> str:
    """As long as before: a comment in a shell example looks like a heading."""
    return _FENCE.sub(lambda match: " " * len(match[0]), text)


def table(text: str, *header: str) -> list[list[str]]:
    """The rows of the first table whose header begins with these cells."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("|") and tuple(_cells(line)[: len(header)]) == header:
            next(lines)
            return list(_rows(lines))
    raise LookupError(f"no table begins with {header}")


def _rows(lines: Iterator[str]) -> Iterator[list[str]]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield _cells(line)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def bare(cell: str) -> str:
    """A cell without its backquotes."""
    return cell.replace("`", "")


def anchors(text: str) -> set[str]:
    """What a link to a heading of this page may be called, as GitHub makes it."""
    titles = (title for _, title in _HEADING.findall(_without_fences(text)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(path: Path) -> list[str]:
    """Links of a page to files, or to headings of files, that do not exist."""
    links = [link for link in _LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    return [link for link in links if not _leads_somewhere(path, link)]


def _leads_somewhere(path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    return target.exists() and (not anchor or anchor in anchors(target.read_text(encoding="utf-8")))


def herald_lines(text: str) -> Iterator[list[str]]:
    """The words behind `herald` in each command line of a page's shell examples."""
    for block in blocks(text, "sh", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from _behind_herald(line.removeprefix("$ "))


def _behind_herald(line: str) -> Iterator[list[str]]:
    words = shlex.split(line, comments=True) if "herald " in line else []
    while words and _SETS_ENVIRONMENT.match(words[0]):
        words.pop(0)
    if words and words[0].rpartition("/")[2] == "herald":
        yield words[1:]
