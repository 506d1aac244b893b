"""The document in the words that generators of clients understand, and in an order for readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from openapi_schema_validator import OAS31Validator

from app.http.openapi import openapi_config
from tests.support.factories import PASSWORD, World, a_message, a_session

OF_A_FIELD = {"oneOf", "default", "deprecated", "description", "examples"}
NOT_FOR_EVERYONE = ("(?=", "(?!", "(?<", r"\u", r"\Z", r"\z", r"\p")
WITH_A_NEWLINE = {
    "/v1/tenants": {"name": "acme\n"},
    "/v1/users": {"username": "alice\n", "email": "a@example.org", "password": PASSWORD},
}


def objects(node: Any) -> Iterator[dict[str, Any]]:
    members: list[Any] = []
    if isinstance(node, dict):
        found = cast("dict[str, Any]", node)
        yield found
        members = list(found.values())
    elif isinstance(node, list):
        members = cast("list[Any]", node)
    for member in members:
        yield from objects(member)


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for item in document["paths"].values() for one in item.values()]


def test_patterns_compile_everywhere(document: dict[str, Any]) -> None:
    """JavaScript, RE2 and Rust have no common word for more; tests/clients compiles them."""
    patterns = {one["pattern"] for one in objects(document) if isinstance(one.get("pattern"), str)}
    assert len(patterns) > 5
    assert [one for one in patterns if any(word in one for word in NOT_FOR_EVERYONE)] == []


@pytest.mark.parametrize("path", WITH_A_NEWLINE)
async def test_a_pattern_ends_where_the_text_ends(world: World, path: str) -> None:
    """Python's `$` would also stand before a last newline."""
    root = await world.admin()
    refused = await root.http.post(path, json=WITH_A_NEWLINE[path])
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] in WITH_A_NEWLINE[path]


async def test_patterns_of_addresses_and_cursors_end_where_the_text_ends(world: World) -> None:
    root = await world.admin()
    person = {"username": "alice", "email": "alice@example.org\n", "password": PASSWORD}
    assert (await root.http.post("/v1/users", json=person)).status_code == 422
    cursor = {"after": "A" * 22 + "\n"}
    assert (await root.http.get("/v1/users", params=cursor)).status_code == 422


def test_a_constraint_stands_in_the_alternative_that_it_constrains(
    document: dict[str, Any],
) -> None:
    nullable = [one for one in objects(document) if {"type": "null"} in one.get("oneOf", ())]
    assert nullable
    assert [one for one in nullable if not one.keys() <= OF_A_FIELD] == []
    title = document["components"]["schemas"]["NewChatSession"]["properties"]["title"]
    assert title["oneOf"][0]["maxLength"] == 255
    assert title["oneOf"][0]["pattern"]


def test_a_choice_has_alternatives(document: dict[str, Any]) -> None:
    assert [one for one in objects(document) if len(one.get("oneOf", (1, 2))) < 2] == []


def test_a_parameter_or_a_body_is_left_out_and_never_null(document: dict[str, Any]) -> None:
    parameters = [one for each in operations(document) for one in each.get("parameters", ())]
    bodies = [one["requestBody"]["content"] for one in operations(document) if "requestBody" in one]
    assert {one["in"] for one in parameters} == {"path", "query", "header"}
    schemas = [one["schema"] for one in parameters] + [one["application/json"] for one in bodies]
    assert "null" not in json.dumps(schemas)


def test_an_enum_has_one_name(document: dict[str, Any]) -> None:
    components = document["components"]["schemas"]
    enums = {name: tuple(one["enum"]) for name, one in components.items() if "enum" in one}
    assert {"MessageRole", "Role", "ErasureState", "Order", "HealthStatus"} <= enums.keys()
    assert len(set(enums.values())) == len(enums)
    found = [tuple(one["enum"]) for one in objects(document) if isinstance(one.get("enum"), list)]
    assert sorted(found) == sorted(enums.values())


def test_bounds_of_whole_numbers_are_whole(document: dict[str, Any]) -> None:
    bounds = [
        one[name] for one in objects(document) for name in ("minimum", "maximum") if name in one
    ]
    assert bounds
    assert {type(bound) for bound in bounds} == {int}


def test_the_document_names_its_licence_contact_and_server(document: dict[str, Any]) -> None:
    assert document["info"]["license"] == {"name": "MIT License", "identifier": "MIT"}
    assert document["info"]["contact"]["name"]
    assert document["servers"] == [{"url": "/"}]
    assert openapi_config("1", "/bic").servers[0].url == "/bic"


def test_every_group_and_operation_is_described(document: dict[str, Any]) -> None:
    assert [tag["name"] for tag in document["tags"] if not tag["description"].endswith(".")] == []
    used = [one["tags"] for one in operations(document)]
    assert {name for names in used for name in names} == {tag["name"] for tag in document["tags"]}
    assert {len(names) for names in used} == {1}
    for operation in operations(document):
        assert operation["description"].endswith("."), operation["operationId"]
        assert not operation["summary"].endswith("."), operation["operationId"]
    said = [
        answer["description"]
        for one in operations(document)
        for answer in one["responses"].values()
    ]
    assert [one for one in said if not one.endswith(".") or "URL follows" in one] == []


def test_operations_stand_in_the_order_of_use(document: dict[str, Any]) -> None:
    names = [one["operationId"] for one in operations(document)]
    assert names[:8] == [
        *("log_in", "log_out", "get_me", "change_password", "erase_me"),
        *("create_chat_session", "list_chat_sessions", "get_chat_session"),
    ]
    groups = [one["tags"][0] for one in operations(document)]
    assert list(dict.fromkeys(groups)) == [tag["name"] for tag in document["tags"]]
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index)


def test_answers_name_their_headers(document: dict[str, Any]) -> None:
    declared = {
        (status, name)
        for one in operations(document)
        for status, answer in one["responses"].items()
        for name in answer.get("headers", ())
    }
    assert {("202", "Location"), ("401", "WWW-Authenticate")} <= declared
    assert {("429", "Retry-After"), ("503", "Retry-After"), ("200", "X-Request-Id")} <= declared
    references = {
        one["$ref"]
        for one in objects(document)
        if str(one.get("$ref", "")).startswith("#/components/headers/")
    }
    assert references == {
        f"#/components/headers/{name}" for name in document["components"]["headers"]
    }


async def test_answers_bear_the_headers_that_they_name(
    world: World, document: dict[str, Any]
) -> None:
    boss, doomed = await world.tenant_admin(), await world.member()
    wrong = {"username": doomed.username, "password": "wrong"}
    logins = [await world.nobody.post("/v1/auth/login", json=wrong) for _ in range(22)]
    answers = {
        ("/v1/me", "get"): await world.nobody.get("/v1/me"),
        ("/v1/auth/login", "post"): logins[-1],
        ("/v1/users/{user_id}", "delete"): await boss.http.delete(f"/v1/users/{doomed.id}"),
        ("/v1/users/{user_id}", "get"): await boss.http.get(f"/v1/users/{doomed.id}"),
        ("/health", "get"): await world.nobody.get("/health"),
    }
    assert [one.status_code for one in answers.values()] == [401, 429, 202, 404, 200]
    for (path, method), answer in answers.items():
        declared = document["paths"][path][method]["responses"][str(answer.status_code)]
        named = {name.lower() for name in declared["headers"]}
        assert named <= set(answer.headers), (path, method)


async def test_an_exports_lines_are_what_the_document_says(
    world: World, document: dict[str, Any]
) -> None:
    alice = await world.member()
    await a_message(alice, (await a_session(alice))["id"])
    answers = document["paths"]["/v1/me/export"]["get"]["responses"]["200"]["content"]
    assert answers == {
        "application/x-ndjson": {"schema": {"$ref": "#/components/schemas/ExportLine"}}
    }
    line = document["components"]["schemas"]["ExportLine"]
    assert line["discriminator"]["propertyName"] == "type"
    export = await alice.http.get("/v1/me/export")
    lines = [json.loads(line) for line in export.text.splitlines()]
    told = ["user", "audit_event", "audit_event", "chat_session", "message", "login_address"]
    assert [one["type"] for one in lines] == told
    for one in lines:
        name = line["discriminator"]["mapping"][one["type"]].rpartition("/")[2]
        shape = document["components"]["schemas"][name] | {"additionalProperties": False}
        OAS31Validator(shape | {"components": document["components"]}).validate(one)
