import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from entrypoints.web_page import WEB, PagePolicy, WebPage, assembled, web_page
from tests.pages import ROOT

FILES = {
    "look.css": "p { color: red }",
    "page.js": "const a = 1;",
    "sly.js": 'const a = "</script><!-- é";',
}
PAGE = """<!doctype html>
<link rel="stylesheet" href="look.css">
<script src="page.js"></script>
<script type="module" src="sly.js"></script>"""


def page() -> WebPage:
    return assembled(PAGE, FILES.__getitem__)


def source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def test_style_sheets_and_scripts_stand_in_the_document() -> None:
    text = page().body.decode()

    assert "<style>p { color: red }</style>" in text
    assert "<script>const a = 1;</script>" in text
    assert not re.search(r"(?:src|href)=", text)


def test_only_what_stands_in_it_may_run() -> None:
    text, policy = page().body.decode(), page().policy
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)

    assert policy.styles == tuple(map(source, styles))
    assert policy.scripts == tuple(map(source, scripts))
    assert f"script-src {source(scripts[0])} {source(scripts[1])};" in str(policy)


def test_a_script_cannot_end_its_element_early_nor_keep_it_from_ending() -> None:
    text = page().body.decode()

    assert text.count("</script>") == 2
    assert r'const a = "<\/script><\!-- é";' in text


def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_markup() -> None:
    headers = dict(page().headers())

    assert re.sub(r" 'sha256-[^']*'", " #", headers["content-security-policy"]) == (
        "default-src 'none'; script-src # #; style-src #; img-src data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("one", "other", "markup"), [("", "", ""), ("a", "", "a"), ("", "a", "a"), ("a", "*", "*")]
)
def test_a_page_that_takes_another_s_place_may_do_what_either_may(one: str, other: str, markup: str) -> None:
    joined = PagePolicy(scripts=("1",), styles=("2",), markup=one).joined(
        PagePolicy(scripts=("3",), styles=("4",), markup=other, frames=True)
    )

    assert joined == PagePolicy(scripts=("1", "3"), styles=("2", "4"), markup=markup, frames=True)


def test_every_page_of_the_package_has_what_it_names() -> None:
    text = web_page("sign_in").body.decode()

    assert "--ground" in text
    assert "sessionStorage" in text


def test_a_built_package_brings_every_file_of_the_pages(tmp_path: Path) -> None:
    script = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    with ZipFile(tmp_path / built.stdout.splitlines()[-1]) as wheel:
        packed = {Path(name).name for name in wheel.namelist() if name.startswith("entrypoints/web/")}

    assert packed == {path.name for path in WEB.iterdir()}
