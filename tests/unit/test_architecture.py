"""What import-linter cannot say: each adapter knows the one library of its name, and only its own kin.

Nor does it say how long a module may be.
"""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADAPTERS = ROOT / "src" / "adapters"
_MODULE_LINES, _FUNCTION_LINES = 300, 60
LIBRARIES = {
    "deadlines": set(),
    "disk_probe": set(),
    "email_address": {"email_validator"},
    "http_sms": {"httpx"},
    "file": set(),
    "jinja_templates": {"jinja2"},
    "kafka": {"aiokafka"},
    "letter_index": set(),
    "memory": set(),
    "message_json": {"msgspec"},
    "message_sighting": set(),
    "one_off_thread": set(),
    "otel": {"opentelemetry", "requests"},
    "outcome_table": set(),
    "presence_json": {"msgspec"},
    "process_end": set(),
    "random_digits": set(),
    "smtp": {"aiosmtplib"},
    "sqlite": set(),
    "system_clock": set(),
}
# How a record is written, what a provider's answer counts as, how letters that can only be read are found,
# how many wait with one timer, what may hang, what a process tells: the same for every technology.
SHARED = (
    "deadlines",
    "letter_index",
    "message_json",
    "message_sighting",
    "one_off_thread",
    "outcome_table",
    "presence_json",
)


def technology(module: str) -> str:
    return next(name for name in LIBRARIES if module.startswith(name))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


MODULES = sorted(path for path in ADAPTERS.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_an_adapter_knows_the_one_library_of_its_name(path: Path) -> None:
    known = LIBRARIES[technology(path.stem)] | {"domain", "adapters"} | sys.stdlib_module_names

    assert {name.partition(".")[0] for name in imported(path)} <= known


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_an_adapter_knows_no_other_technology(path: Path) -> None:
    kin = {technology(path.stem), *SHARED}
    others = {name.removeprefix("adapters.") for name in imported(path) if name.startswith("adapters.")}

    assert {technology(other) for other in others} <= kin


def test_modules_and_functions_stay_short_enough_to_be_read_at_once() -> None:
    long_modules: list[str] = []
    long_functions: list[str] = []
    for path in (ROOT / "containers.py", *sorted((ROOT / "src").rglob("*.py"))):
        text = path.read_text()
        if text.count("\n") >= _MODULE_LINES:
            long_modules.append(path.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > _FUNCTION_LINES:
                    long_functions.append(f"{path.name}: {node.name}")

    assert (long_modules, long_functions) == ([], [])
