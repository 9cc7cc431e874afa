"""The walk through the engine names only what exists."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WALK = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")
MODULES = [
    import_module(f"{path.parent.name}.{path.stem}")
    for folder in ("application", "domain")
    for path in sorted((ROOT / "src" / folder).glob("*.py"))
    if path.stem != "__init__"
]
NAMES = sorted(set(re.findall(r"`([A-Z]\w+(?:\.\w+)?|[a-z]+(?:_[a-z]+)+)`", WALK)) - {"drain_seconds"})
FILES = sorted(set(re.findall(r"`(\w+\.py)`", WALK)))


def found(name: str) -> bool:
    first, _, attribute = name.partition(".")
    owners = [getattr(module, first) for module in MODULES if hasattr(module, first)]
    return any(not attribute or hasattr(owner, attribute) for owner in owners)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_walk_names_exists(name: str) -> None:
    assert found(name)


@pytest.mark.parametrize("name", FILES)
def test_the_files_it_names_are_the_engines(name: str) -> None:
    assert (ROOT / "src" / "application" / name).is_file()


def test_the_walk_names_the_steps_in_the_engines_own_words() -> None:
    assert len(NAMES) > 40
