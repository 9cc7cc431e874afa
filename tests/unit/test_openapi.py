import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from entrypoints.docs_page import as_openapi_3_0
from entrypoints.openapi import openapi_document
from entrypoints.problems import ProblemKind
from tests.api_parts import TOPICS, VALID, MemoryApi, shared_api

DOCUMENT = openapi_document("1.2.3", tuple(TOPICS), keyed=False, max_messages=10_000)
KEYED = openapi_document("1.2.3", tuple(TOPICS), keyed=True, max_messages=10_000)


@pytest.fixture
def api() -> MemoryApi:
    return shared_api(hot=True)


@pytest.fixture
def guarded() -> MemoryApi:
    return shared_api(hot=True, guarded=True)


async def test_the_document_is_served(api: MemoryApi) -> None:
    response = await api.ask("GET", "/schema/openapi.json")

    assert response.headers["content-type"] == "application/json"
    assert response.json() == DOCUMENT
    assert response.json()["openapi"] == "3.1.0"


async def test_the_document_asks_for_keys_where_there_are_some(guarded: MemoryApi) -> None:
    response = await guarded.ask("GET", "/schema/openapi.json", headers={"authorization": "Bearer all"})

    assert response.json() == KEYED
    assert response.json()["security"] == [{"key": []}]
    assert response.json()["paths"]["/health/live"]["get"]["security"] == []


def test_the_document_knows_every_route_but_the_pages(api: MemoryApi) -> None:
    litestar: Any = api.app
    paths = [route.path.replace(":str}", "}") for route in litestar._app.routes]
    routes = {path for path in paths if path != "/" and not path.startswith("/docs")}

    assert set(DOCUMENT["paths"]) == routes


def test_what_is_not_there_yet_is_not_in_the_document() -> None:
    text = json.dumps(DOCUMENT)

    assert not re.search(r"429", text)


def test_the_document_names_every_problem() -> None:
    names = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]

    assert names == [f"urn:herald:problem:{kind.slug}" for kind in ProblemKind]


def test_every_reference_leads_somewhere() -> None:
    references = [node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node]

    assert references
    assert {reference.rpartition("/")[2] for reference in references} == set(
        DOCUMENT["components"]["schemas"]
    ) - {""}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in it."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def message_schema() -> Any:
    return jsonschema_rs.validator_for({"$ref": "#/components/schemas/Message", **DOCUMENT})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"phone": ""},
        {"email": None},
        {"partition": None, "key": "", "request_id": ""},
        {"message_body": "a\n\tb" + "ü" * 9_996},
        {"request_id": "x" * 128, "customer_id": "x" * 256},
    ],
)
async def test_what_the_schema_takes_the_api_takes(api: MemoryApi, fields: dict[str, Any]) -> None:
    response = await api.post_fields(**fields)

    assert message_schema().is_valid({**VALID, **fields})
    assert response.status_code == 202


@pytest.mark.parametrize(
    "fields",
    [
        {"email": None, "phone": None},
        {"email": "", "phone": ""},
        {"topic_name": ""},
        {"topic_name": None},
        {"colour": "red"},
        {"message_body": "x" * 10_001},
        {"message_body": "\r"},
        {"key": "\n"},
        {"key": "\x85"},
        {"request_id": "a b"},
        {"request_id": "a\n"},
        {"phone": "0049"},
        {"partition": -1},
        {"partition": "1"},
        {"partition": 0.5},
    ],
    ids=str,
)
async def test_what_the_schema_refuses_the_api_refuses(api: MemoryApi, fields: dict[str, Any]) -> None:
    response = await api.post_fields(**fields)

    assert not message_schema().is_valid({**VALID, **fields})
    assert response.status_code == 400


async def test_the_examples_are_taken(api: MemoryApi) -> None:
    contents = [
        DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for path in ("/api/v1/produce", "/api/v1/produce/batch")
    ]
    one = await api.post(json.dumps(contents[0]["example"]).encode())
    batch = await api.post_batch(contents[1]["example"])

    assert (one.status_code, batch.status_code) == (202, 202)


# The page -------------------------------------------------------------------------------------------


async def test_the_page_is_one_document_that_loads_herald_s_own_description_alone(api: MemoryApi) -> None:
    answer = await api.ask("GET", "/docs")
    page = answer.text

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r"<link [^>]*href=\"(?!data:)", page) == []
    assert not re.search(r"<script[^>]* src=", page[: page.index("<script")])
    assert 'url: "/docs/openapi-3.0.json"' in page
    assert "validatorUrl: null" in page


async def test_the_style_sheet_loads_nothing_more(api: MemoryApi) -> None:
    page = (await api.ask("GET", "/docs")).text
    style = page[page.index("<style>") : page.index("</style>")]

    assert "@import" not in style
    assert {found[:5] for found in re.findall(r"url\(['\"]?([^)]*)", style)} <= {"data:"}


async def test_a_browser_is_told_to_load_from_nowhere_else(api: MemoryApi) -> None:
    policy = (await api.ask("GET", "/docs")).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert re.search(r"script-src( 'sha256-[A-Za-z0-9+/=]{44}'){2};", policy)
    assert not re.search(r"http|\*|unsafe", policy)


async def test_the_page_gets_a_document_that_its_swagger_ui_can_read(api: MemoryApi) -> None:
    older = (await api.ask("GET", "/docs/openapi-3.0.json")).json()

    assert older["openapi"] == "3.0.3"
    assert set(older["paths"]) == set(DOCUMENT["paths"])
    assert [node for node in nodes(older) if isinstance(node.get("type"), list) or "const" in node] == []
    assert older["components"]["schemas"]["Message"]["properties"]["key"]["nullable"] is True


def test_what_3_0_does_not_know_is_said_in_its_words() -> None:
    document = {"openapi": "3.1.0", "x": [{"const": 1, "type": ["integer", "null"], "examples": [7, 8]}]}

    assert json.loads(as_openapi_3_0(document)) == {
        "openapi": "3.0.3",
        "x": [{"enum": [1], "type": "integer", "nullable": True, "example": 7}],
    }
