"""The page of guarantees names tests that exist."""

import re
from pathlib import Path

import pytest

from tests.saboteurs import SABOTEURS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+(?:\.py)?)`", PAGE)))
PROMISES = re.findall(r"^\| (.+) \| (.+) \|$", PAGE.partition("## What it does not promise")[0], re.MULTILINE)


@pytest.mark.parametrize("path", NAMED)
def test_what_is_said_to_show_a_promise_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_promise_names_a_test() -> None:
    promises = PROMISES[1:]

    assert len(promises) > 15
    assert [promise for promise, shown in promises if "`tests/" not in shown] == []


def test_the_number_of_saboteurs_is_right() -> None:
    assert f"{len(SABOTEURS)} broken variants" in PAGE
