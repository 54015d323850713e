"""Version documents and the OpenAPI document."""

import json
from typing import Any

import pytest

from fairlead.api.openapi import document
from fairlead.api.operations import operations
from fairlead.domain.bodies import settable
from fairlead.domain.model import KINDS
from tests.api.conftest import Desk, House

WITHOUT_BODY = {
    "configure_amphora", "failover_amphora", "failover_loadbalancer",
    "add_network_tag", "add_subnet_tag", "add_port_tag",
}  # fmt: skip
METHODS = {"get", "post", "put", "delete"}


async def test_the_version_document(house: House) -> None:
    nobody = house.desk("")
    versions = (await nobody.get("/"))["versions"]
    assert [v["id"] for v in versions] == [f"v2.{n}" for n in range(31)]
    assert [v["id"] for v in versions if v["status"] == "CURRENT"] == ["v2.30"]
    assert {v["status"] for v in versions[:-1]} == {"SUPPORTED"}
    assert {v["links"][0]["href"] for v in versions} == {"http://fairlead.test/v2"}
    for path in ("/v2", "/v2/", "/v2.0", "/v2/lbaas", "/v2.0/lbaas/"):
        assert await nobody.get(path) == "v2"


async def test_the_openapi_document_is_served(house: House) -> None:
    served = await house.desk("").get("/openapi.json")
    assert served == json.loads(json.dumps(plain(with_networks=False)))
    assert "/v2.0/subnets" not in served["paths"]
    assert "/v2.0/subnets" in plain(with_networks=True)["paths"]


def plain(*, with_networks: bool) -> Any:
    return json.loads(json.dumps(document(with_networks=with_networks), default=list))


@pytest.fixture(params=[True, False])
def described(request: pytest.FixtureRequest) -> Any:
    return plain(with_networks=request.param)


def walk(node: Any) -> Any:
    yield node
    for below in node.values() if isinstance(node, dict) else node:
        if isinstance(below, dict | list):
            yield from walk(below)


def test_every_reference_leads_somewhere(described: Any) -> None:
    for node in walk(described):
        if isinstance(node, dict) and "$ref" in node:
            target: Any = described
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            assert target
    names = [n["$ref"].rsplit("/", 1)[1] for n in walk(described)
             if isinstance(n, dict) and "$ref" in n]  # fmt: skip
    assert set(described["components"]["schemas"]) == {
        name for name in names if name in described["components"]["schemas"]
    }


def test_it_has_the_shape_that_openapi_3_1_asks_for(described: Any) -> None:
    assert described["openapi"] == "3.1.0"
    assert set(described) <= {
        "openapi",
        "info",
        "servers",
        "paths",
        "components",
        "security",
        "tags",
    }
    assert {"title", "version"} <= set(described["info"])
    ids = []
    for path, item in described["paths"].items():
        assert path.startswith("/")
        assert set(item) <= METHODS
        for method, operation in item.items():
            ids.append(operation["operationId"])
            assert operation["responses"]
            _check_operation(path, method, operation)
    assert len(ids) == len(set(ids))


def _check_operation(path: str, method: str, operation: Any) -> None:
    parameters = operation.get("parameters", [])
    seen = [(p["in"], p["name"]) for p in parameters]
    assert len(seen) == len(set(seen))
    in_path = {name for where, name in seen if where == "path"}
    assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    for parameter in parameters:
        assert parameter["schema"]
        assert parameter["in"] != "path" or parameter["required"] is True
    for status, response in operation["responses"].items():
        assert status == "default" or status.isdigit()
        assert "description" in response or "$ref" in response
    takes = method == "post" or (method == "put" and operation["operationId"] not in WITHOUT_BODY)
    assert ("requestBody" in operation) == takes


def test_schemas_are_json_schema(described: Any) -> None:
    types = {"object", "array", "string", "integer", "number", "boolean", "null"}
    for schema in described["components"]["schemas"].values():
        for node in walk(schema.get("properties", {})):
            if isinstance(node, dict) and isinstance(node.get("type"), str):
                assert node["type"] in types
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))


def test_every_operation_is_described_and_answers(described: Any) -> None:
    for operation in operations():
        found = described["paths"][operation.full_path][operation.method.lower()]
        assert str(operation.status) in found["responses"]


async def test_every_described_path_is_served(house: House, admin: Desk) -> None:
    for path, item in plain(with_networks=False)["paths"].items():
        for method in item:
            for prefix in (path, path.replace("/v2/", "/v2.0/"), path.replace("/lbaas", "")):
                answer = await admin.call(method.upper(), prefix, {}, None)
                assert answer.status_code != 405
                assert not answer.content or answer.json() != {
                    "code": 404, "title": "Not Found", "description": "Not Found"
                }  # fmt: skip


def test_bodies_carry_bounds_enums_and_descriptions(described: Any) -> None:
    schemas = described["components"]["schemas"]
    for kind, what in KINDS.items():
        title = what.type.__name__
        create, update = schemas[f"{title}Create"], schemas[f"{title}Update"]
        assert set(create["properties"]) >= set(settable(kind, at_creation=True))
        assert set(update["properties"]) == set(settable(kind, at_creation=False))
        assert create["additionalProperties"] is False
        for name, field in settable(kind, at_creation=True).items():
            assert create["properties"][name]["description"] == field.description
            assert (name in create.get("required", [])) == field.trait.required
    port = schemas["ListenerCreate"]["properties"]["protocol_port"]
    assert (port["minimum"], port["maximum"]) == (1, 65535)
    assert "HTTP" in schemas["ListenerCreate"]["properties"]["protocol"]["enum"]
    assert schemas["LoadBalancerCreate"]["properties"]["listeners"]["items"]["$ref"]
