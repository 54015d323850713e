"""The OpenAPI document as documentation: said of everything, and examples that are true."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from fairlead.api.openapi import document
from fairlead.api.openapi_errors import FAILURES, failures_of
from fairlead.api.openapi_samples import object_id
from fairlead.api.operations import operations
from fairlead.domain.model import KINDS
from tests.api.conftest import SUBNET, Desk

DOCUMENT: Any = json.loads(msgspec.json.encode(document(with_networks=True)))
OPERATIONS = [
    pytest.param(path, method, operation, id=operation["operationId"])
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


def contents(operation: Any) -> Any:
    """Every body that is described for an operation, requests and answers."""
    found = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in found:
        if "$ref" in body:
            body = DOCUMENT["components"]["responses"][body["$ref"].rpartition("/")[2]]
        yield from body.get("content", {}).values()


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_everything_is_said_of_an_operation(path: str, method: str, operation: Any) -> None:
    assert len(operation["description"]) > 10
    assert operation["summary"].endswith(".")
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    for parameter in operation.get("parameters", []):
        assert parameter["description"], parameter["name"]
    if path.startswith("/v2/"):
        assert {"401", "403", "406"} <= set(operation["responses"])
        assert all(content["examples"] for content in contents(operation))


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_example_is_what_its_schema_says(path: str, method: str, operation: Any) -> None:
    for content in contents(operation):
        schema = content["schema"] | {"components": DOCUMENT["components"]}
        for example in content.get("examples", {}).values():
            jsonschema_rs.Draft202012Validator(schema).validate(example["value"])


def test_every_field_of_a_body_is_described() -> None:
    for kind in KINDS.values():
        for use in ("", "Create", "Update"):
            schema = DOCUMENT["components"]["schemas"][f"{kind.type.__name__}{use}"]
            for name, field in schema["properties"].items():
                assert field.get("description"), (kind.word, use, name)


def test_every_failure_belongs_to_an_operation() -> None:
    used = {name for operation in operations() for name in failures_of(operation)}
    assert used | {"NetworkError"} == set(FAILURES)


async def test_example_requests_are_accepted(desk: Desk) -> None:
    """Each create with its example, then each change, with the ids of what was made before."""
    real = {"607226db-27ef-4d41-ae89-f2a800e9c2db": SUBNET}

    def told(value: Any) -> Any:
        text = json.dumps(value)
        for sample, made in real.items():
            text = text.replace(sample, made)
        return json.loads(text)

    def of_tree(method: str) -> Any:
        for operation in operations():
            if operation.kind in KINDS and operation.method == method and operation.takes:
                path = f"/v2/{operation.path}"
                yield operation, path, DOCUMENT["paths"][path][method.lower()]

    for operation, path, described in of_tree("POST"):
        for example in examples(described["requestBody"]):
            where = path.format_map({f"{k}_id": real.get(object_id(k), "") for k in KINDS})
            answer = await desk.post(where, told(example))
            made = answer[KINDS[operation.kind].wrapper]
            real.setdefault(object_id(operation.kind), made["id"])
            if operation.kind == "loadbalancer" and len(example["loadbalancer"]) > 3:
                assert made["listeners"][0]["default_pool_id"] == made["pools"][0]["id"]
    for operation, path, described in of_tree("PUT"):
        where = path.format_map({f"{k}_id": real[object_id(k)] for k in KINDS})
        for example in examples(described["requestBody"]):
            await desk.put(where, told(example), operation.status)


def examples(body: Any) -> list[Any]:
    return [one["value"] for one in body["content"]["application/json"]["examples"].values()]
