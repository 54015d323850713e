"""Whatever is asked, the answer is one that the OpenAPI document tells of, and never a 5xx.

Schemathesis makes requests from the document, right ones and wrong ones, and sends them to a
running service on the in-memory world. Most ids in them are put right, so that they reach real
objects. The same requests each time: nothing here is left to chance.
"""

import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fairlead.api.openapi import document
from fairlead.api.operations import COLLECTIONS
from fairlead.domain.model import KINDS
from tests.api.test_resources import SENT
from tests.live_service import LiveService

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
# Answers above 500 that a request may well have: an option that the provider does not have.
EXPECTED = {501}
EXAMPLES = 8
SUBNET = "5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a01"
_OF = {"default_pool_id": "pool", "redirect_pool_id": "pool"}

SCHEMA = schemathesis.openapi.from_dict(document(with_networks=True))


class Town:
    """The service, and one object of each kind in it."""

    def __init__(self, service: LiveService) -> None:
        self.url = service.url
        self.session = requests.Session()
        self.session.auth = service.credentials()
        self.ids: dict[str, str] = {}

    def build(self) -> None:
        """A new load balancer with one of each kind: what was there may be gone.

        The one before goes: the subnet has not addresses for as many as there are operations.
        """
        before = f"{COLLECTIONS['loadbalancer']}/{self.ids.get('loadbalancer', uuid.uuid4())}"
        self.session.delete(f"{self.url}/v2/{before}?cascade=true", timeout=20)
        self.ids = {}
        for kind, what in KINDS.items():
            place = COLLECTIONS[kind].format_map({f"{k}_id": i for k, i in self.ids.items()})
            parent = {} if what.parent_field is None or "{" in COLLECTIONS[kind] else {
                what.parent_field: self.ids[str(what.parent)]}  # fmt: skip
            given = {k: v for k, v in SENT[kind].items() if k != "subnet_id"}
            body = {what.wrapper: {**given, **parent}}
            answer = self.session.post(f"{self.url}/v2/{place}", json=body, timeout=20)
            assert answer.status_code == 201, answer.text
            self.ids[kind] = answer.json()[what.wrapper]["id"]

    def put_right(self, case: Any) -> None:
        """Real ids where some UUID stands in the path, and in every other place of a body."""
        for name, value in dict(case.path_parameters or {}).items():
            known = self.ids.get(name.removesuffix("_id"))
            if known and is_uuid(value):
                case.path_parameters[name] = known
        self._put_right_below(case.body)

    def _put_right_below(self, node: Any) -> None:
        if isinstance(node, list):
            for one in node:
                self._put_right_below(one)
        for name, value in list(node.items()) if isinstance(node, dict) else ():
            known = self.ids.get(_OF.get(name, name.removesuffix("_id")))
            known = SUBNET if name == "vip_subnet_id" else known
            if known and name.endswith("_id") and isinstance(value, str) and len(value) % 2 == 0:
                node[name] = known
            self._put_right_below(value)


def is_uuid(value: Any) -> bool:
    try:
        return bool(uuid.UUID(str(value)))
    except ValueError:
        return False


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    state = tmp_path_factory.mktemp("town") / "state"
    service = LiveService(state, "--drivers", "fake", listen=f"127.0.0.1:{port}")
    service.start()
    try:
        yield Town(service)
        assert "request failed" not in service.said()
    finally:
        service.stop()


@pytest.fixture
def built(town: Town) -> Town:
    town.build()
    return town


@SCHEMA.parametrize()
@settings(
    derandomize=True, database=None, max_examples=EXAMPLES, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_every_answer_is_one_that_is_described(case: Any, built: Town) -> None:
    built.put_right(case)
    answer = case.call(base_url=built.url, session=built.session)
    assert answer.status_code < 500 or answer.status_code in EXPECTED, answer.text
    case.validate_response(answer, checks=CHECKS)
