"""The page to try the API with: Swagger UI, every byte of it served by Herald."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
from swagger_ui_bundle import swagger_ui_path

from entrypoints.web_page import WebPage, assembled, web_file

DOCS = "/docs"
PAGE_DOCUMENT = f"{DOCS}/openapi-3.0.json"

# Swagger UI builds its markup itself, and draws its icons from data URLs.
_MARKUP = "*"


@cache
def docs_page() -> WebPage:
    """Reads 1 MB the first time it is asked."""
    page = assembled(web_file("docs.html"), _file)
    return replace(page, policy=replace(page.policy, markup=_MARKUP))


def _file(name: str) -> str:
    bundled = swagger_ui_path / name
    return str(bundled.read_text(encoding="utf-8")) if name.startswith("swagger-ui") else web_file(name)


def as_openapi_3_0(document: Mapping[str, Any]) -> bytes:
    """The document for the page alone: the bundled Swagger UI reads 3.0 but not 3.1.

    Only what Herald's own document uses is translated: types that may be null, `examples` and `const`.
    """
    return msgspec.json.encode({**_older(document), "openapi": "3.0.3"})


def _older(node: Any) -> Any:
    if isinstance(node, list):
        return [_older(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    older = {name: _older(value) for name, value in node.items()}
    if isinstance(older.get("type"), list):
        older["type"] = next(name for name in older["type"] if name != "null")
        older["nullable"] = True
    if isinstance(older.get("examples"), list):
        older["example"] = older.pop("examples")[0]
    if "const" in older:
        older["enum"] = [older.pop("const")]
    return older
