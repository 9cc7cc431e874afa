"""The colours of Herald's pages: what is written can be read, in light and in dark."""

import re
from itertools import product

import pytest

from entrypoints.web_page import web_file

LEAST = 4.5  # WCAG 2.2, 1.4.3, level AA
LEAST_OF_CONTROLS = 3.0  # 1.4.11
GROUNDS = ("ground", "surface", "sunken")
PAIRS = [
    *product(("text", "muted"), GROUNDS),
    *product(("accent", "bad"), ("ground", "surface", "sunken")),
    *((name, f"{name}-soft") for name in ("accent", "good", "bad", "warn")),
    ("accent-text", "accent"),
    ("text", "accent-soft"),
    ("muted", "accent-soft"),
]


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", web_file("look.css"), re.DOTALL)
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    return found | (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark)) if scheme == "dark" else {})


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_pair_of_text_and_ground_has_enough_contrast(scheme: str) -> None:
    known = colours(scheme)
    weak = {pair: contrast(known[pair[0]], known[pair[1]]) for pair in PAIRS}

    assert {pair: round(ratio, 2) for pair, ratio in weak.items() if ratio < LEAST} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_edges_of_controls_can_be_seen(scheme: str) -> None:
    known = colours(scheme)

    assert [
        ground for ground in GROUNDS if contrast(known["control-line"], known[ground]) < LEAST_OF_CONTROLS
    ] == []
