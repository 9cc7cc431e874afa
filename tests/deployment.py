"""What the project's files say of running it, read as those read it who run it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "docker-compose.yml"

_SETTING = re.compile(r"\bHERALD_[A-Z0-9]+(?:__[A-Z0-9_]*[A-Z0-9])|\bHERALD_TOPICS\b")


def services() -> Mapping[str, Mapping[str, Any]]:
    """The services of `docker-compose.yml`, merged as YAML says."""
    document = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    found: Mapping[str, Mapping[str, Any]] = document["services"]
    return found


def of_herald() -> Mapping[str, Mapping[str, Any]]:
    """The services that are Herald's own processes."""
    return {name: service for name, service in services().items() if service["image"].startswith("herald:")}


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """What a container of this service finds in its environment, as texts."""
    given = service.get("environment", {})
    assert all(isinstance(value, str) for value in given.values()), f"put quotes around {given}"
    return dict(given)


def settings_named(text: str) -> set[str]:
    """Every environment name in a text that Herald takes for a setting; not the pattern of such names."""
    return set(_SETTING.findall(text)) - {"HERALD_SECTION__FIELD", "HERALD_SECTION__FIELD_FILE"}


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Each instruction of a Dockerfile and what stands behind it, continued lines as one."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name, rest.strip()


def image_environment() -> dict[str, str]:
    """What the image puts into the environment of whatever runs in it."""
    stages = "\n".join(f"{name} {rest}" for name, rest in instructions((ROOT / "Dockerfile").read_text()))
    last = stages[stages.rindex("FROM ") :]
    pairs = [pair for name, rest in instructions(last) if name == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)
