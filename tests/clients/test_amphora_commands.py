"""The `openstack` command on amphorae of a running service: what operators do with it."""

import time
from typing import Any

import pytest

from tests.clients.driving import Openstack

AMPHORA = "loadbalancer amphora"
SECONDS = 20.0


@pytest.fixture(scope="module")
def web(osc: Openstack) -> str:
    osc("network create operated")
    osc("subnet create --network operated --subnet-range 198.51.100.0/24 operated-v4")
    osc("loadbalancer create --wait --name web --vip-subnet-id operated-v4")
    osc("loadbalancer listener create --wait --name http --protocol HTTP --protocol-port 80 web")
    found: str = osc.json("loadbalancer show web")["id"]
    return found


def amphora(osc: Openstack, lb_id: str) -> Any:
    (found,) = osc.json(f"{AMPHORA} list --loadbalancer {lb_id}")
    return found


def active(osc: Openstack) -> None:
    end = time.monotonic() + SECONDS
    while osc.json("loadbalancer show web")["provisioning_status"] != "ACTIVE":
        assert time.monotonic() < end, "the load balancer is not ACTIVE"


def test_amphorae_are_listed_and_shown(osc: Openstack, web: str) -> None:
    listed = amphora(osc, web)
    assert (listed["loadbalancer_id"], listed["status"], listed["role"]) == (
        web, "ALLOCATED", "STANDALONE",
    )  # fmt: skip
    for wanted in ("--role STANDALONE", "--status ALLOCATED"):
        assert osc.json(f"{AMPHORA} list {wanted}") == [listed]
    assert osc.json(f"{AMPHORA} list --status ERROR") == []
    shown = osc.json(f"{AMPHORA} show {listed['id']}")
    assert shown["ha_ip"] == osc.json("loadbalancer show web")["vip_address"]
    assert shown["compute_id"] == listed["id"]
    assert shown["cert_expiration"]


def test_statistics(osc: Openstack, web: str) -> None:
    one = amphora(osc, web)["id"]
    counted = osc.json(f"{AMPHORA} stats show {one}")
    assert counted["total_connections"] in (0, "0")
    listener = osc.json("loadbalancer listener show http")["id"]
    assert osc.json(f"{AMPHORA} stats show --listener {listener} {one}") == counted


def test_failover_replaces_the_amphora(osc: Openstack, web: str) -> None:
    seen = [amphora(osc, web)["id"]]
    for line in ("loadbalancer failover web", f"{AMPHORA} failover"):
        osc(line if line.endswith("web") else f"{line} {seen[-1]}")
        active(osc)
        seen.append(amphora(osc, web)["id"])
    assert len(set(seen)) == 3
    assert "404" in osc.refused(f"{AMPHORA} show {seen[0]}")


def test_failover_waits_if_asked_to(osc: Openstack, web: str) -> None:
    before = amphora(osc, web)["id"]
    osc("loadbalancer failover --wait web")
    assert amphora(osc, web)["id"] != before


def test_configured_anew(osc: Openstack, web: str) -> None:
    one = amphora(osc, web)["id"]
    osc(f"{AMPHORA} configure {one}")
    active(osc)
    assert amphora(osc, web)["id"] == one


def test_one_in_use_is_not_deleted(osc: Openstack, web: str) -> None:
    one = amphora(osc, web)["id"]
    assert "fail it over" in osc.refused(f"{AMPHORA} delete {one}")
    assert amphora(osc, web)["id"] == one
