"""The page to try the API with: Swagger UI, every byte of it served by Herald."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from swagger_ui_bundle import swagger_ui_path

DOCS = "/docs"
PAGE_DOCUMENT = f"{DOCS}/openapi-3.0.json"

# The page may load from where it came from and from nowhere else; Swagger UI sets styles from its script
# and draws its icons from data URLs.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_BUNDLED = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Herald</title>
<link rel="icon" href="{DOCS}/favicon-32x32.png">
<link rel="stylesheet" href="{DOCS}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{DOCS}/swagger-ui-bundle.js"></script>
<script src="{DOCS}/start.js"></script>
</body>
</html>
"""
# validatorUrl: without it the page would show the document to a validator on another host.
_START = f"""SwaggerUIBundle({{
  url: "{PAGE_DOCUMENT}",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
}});
"""


@lru_cache(maxsize=len(_BUNDLED))
def _bundled(name: str) -> bytes:
    return bytes((swagger_ui_path / name).read_bytes())


def docs_asset(path: str) -> tuple[str, bytes]:
    """Media type and bytes of a path of `docs_paths`. Reads a file of 1 MB the first time it is asked."""
    name = path.removeprefix(DOCS).strip("/")
    if name == "":
        return "text/html; charset=utf-8", _PAGE.encode()
    if name == "start.js":
        return "text/javascript", _START.encode()
    return _BUNDLED[name], _bundled(name)


def docs_paths() -> list[str]:
    """Everything the page is made of, but for the OpenAPI document."""
    return [DOCS, f"{DOCS}/start.js", *(f"{DOCS}/{name}" for name in _BUNDLED)]


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
