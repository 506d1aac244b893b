"""The OpenAPI document is valid, declares every error, and keeps its names."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.openapi.spec import OpenAPIHeader, OpenAPIResponse, Operation, Schema
from openapi_spec_validator import validate

from app.http.document.answers import complete_answers
from app.http.document.schemas import Schemas
from app.http.problems import PROBLEM_JSON
from tests.support.factories import World

PUBLIC = {"log_in", "get_live", "get_health", "get_ready"}
NOT_PROBLEMS = {("get_health", "503"), ("get_ready", "503")}


def _operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, operation) for path, item in document["paths"].items() for operation in item.values()
    ]


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_error_in_the_document_is_a_problem(document: dict[str, Any]) -> None:
    for _, operation in _operations(document):
        for status, answer in operation["responses"].items():
            if status >= "400" and (operation["operationId"], status) not in NOT_PROBLEMS:
                assert set(answer["content"]) == {PROBLEM_JSON}, operation["operationId"]


def test_every_operation_declares_what_follows_from_its_shape(document: dict[str, Any]) -> None:
    for path, operation in _operations(document):
        declared = set(operation["responses"])
        if operation["operationId"] in PUBLIC:
            assert operation["security"] == []
        else:
            assert {"401", "429", "503"} <= declared, path
        if "requestBody" in operation:
            assert {"400", "408", "413", "415", "422"} <= declared, path
        assert "431" in declared, path
        if "{" in path and path.startswith("/v1/"):
            assert "404" in declared, path


def test_the_documents_names_hold_still(document: dict[str, Any]) -> None:
    """A module in a schema's name would change with the code's layout."""
    ids = [operation["operationId"] for _, operation in _operations(document)]
    assert len(ids) == len(set(ids))
    schemas = set(document["components"]["schemas"])
    assert {"User", "UserPage", "Tenant", "ChatSession", "Message", "ProblemDetails"} <= schemas
    assert not [name for name in schemas if "_" in name or "." in name or "[" in name]


def test_the_documents_security_scheme_is_bearer(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes == {"bearer": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{"bearer": []}]


def test_the_document_has_examples(document: dict[str, Any]) -> None:
    login = document["components"]["schemas"]["Login"]["properties"]
    assert login["username"]["examples"] == ["\\demo\\alice"]


def test_bodies_are_closed_and_optional_ones_may_be_left_out(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("Login", "NewUser", "NewMessages", "NewMessage", "Block", "NewChatSession"):
        assert schemas[name]["additionalProperties"] is False
    assert schemas["Part"]["additionalProperties"] is True  # kept as it is, whatever it has
    required = {
        operation["operationId"]: operation["requestBody"]["required"]
        for _, operation in _operations(document)
        if "requestBody" in operation
    }
    optional = {name for name, is_required in required.items() if not is_required}
    assert optional == {
        *("create_chat_session", "put_chat_session", "fork_chat_session"),
        *("block_user", "put_external_user", "create_conversation"),
    }


def test_an_answer_without_a_body_declares_none(document: dict[str, Any]) -> None:
    answers = [one["responses"] for _, one in _operations(document) if "204" in one["responses"]]
    assert len(answers) > 3
    assert [one["204"] for one in answers if "content" in one["204"]] == []


def test_a_field_that_may_be_left_out_of_a_body_has_no_default(document: dict[str, Any]) -> None:
    """openapi-typescript, among others, makes a field that has one required."""
    schemas = document["components"]["schemas"]
    closed = [one for one in schemas.values() if one.get("additionalProperties") is False]
    fields = [field for one in closed for field in one["properties"].values()]
    assert len(fields) > 20
    assert [field for field in fields if "default" in field] == []
    assert "completed" in schemas["NewMessage"]["properties"]["status"]["description"]


def test_one_name_for_two_schemas_stops_the_start() -> None:
    schemas = Schemas({"Role": Schema(title="Role", enum=["member"])})
    with pytest.raises(ValueError, match="are called Role"):
        schemas.mended(Schema(title="Role", enum=["user", "assistant"]))


def test_a_header_that_nobody_explains_stops_the_start() -> None:
    answer = OpenAPIResponse(description="Done.", headers={"X-New": OpenAPIHeader()})
    with pytest.raises(ValueError, match="X-New"):
        complete_answers(Operation(responses={"200": answer}))


async def test_options_names_the_methods_of_the_path(world: World) -> None:
    boss = await world.tenant_admin()
    answer = await boss.http.options(f"/v1/users/{boss.id}")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
