"""A third party's driver, which knows octavia-lib alone, provides load balancers.

The real service in a process of its own, the real DriverLibrary in this one.
"""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from octavia_lib.api.drivers.exceptions import UpdateStatisticsError, UpdateStatusError

from tests.providers.conftest import LB, Workshop


def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def functions(shop: Workshop) -> list[str]:
    return [one["function"] for one in shop.heard()]


def test_a_load_balancer_is_told_whole_before_it_exists(shop: Workshop) -> None:
    made = shop.balancer(
        description="d", listeners=[{"protocol": "HTTP", "protocol_port": 80, "default_pool": {
            "name": "p", "protocol": "HTTP", "lb_algorithm": "SOURCE_IP",
            "session_persistence": {"type": "APP_COOKIE", "cookie_name": "c"},
            "members": [{"address": "198.51.100.7", "protocol_port": 81, "weight": 3}],
        }}],
    )  # fmt: skip
    assert made["provider"] == "thirdparty"
    assert made["provisioning_status"] == "PENDING_CREATE"
    (call,) = shop.heard()
    assert (call["name"], call["function"]) == ("thirdparty", "loadbalancer_create")
    (told,) = call["arguments"]
    assert told["loadbalancer_id"] == made["id"]
    assert told["vip_address"] == made["vip_address"]
    assert told["vip_port_id"] == made["vip_port_id"]
    assert told["project_id"] == made["project_id"]
    assert told["admin_state_up"] is True
    assert "vip_qos_policy_id" not in told, "what was not given is Unset"
    (listener,), (pool,) = told["listeners"], told["pools"]
    assert listener["default_pool"] == pool
    assert listener["default_pool_id"] == pool["pool_id"]
    assert pool["session_persistence"] == {"type": "APP_COOKIE", "cookie_name": "c"}
    (member,) = pool["members"]
    assert (member["address"], member["protocol_port"], member["weight"]) == ("198.51.100.7", 81, 3)
    shop.works(made["id"])
    assert shop.status(f"{LB}/{made['id']}") == "ACTIVE"


def test_what_our_own_amphorae_cannot_do_is_for_the_driver_to_judge(shop: Workshop) -> None:
    watch = {"type": "UDP-CONNECT", "delay": 5, "timeout": 3, "max_retries": 2}
    served = {"name": "p", "protocol": "UDP", "lb_algorithm": "SOURCE_IP_PORT",
              "healthmonitor": watch}  # fmt: skip
    front = {"protocol": "UDP", "protocol_port": 53, "default_pool": served}
    made = shop.balancer(listeners=[front])
    (told,) = shop.heard()[0]["arguments"]
    assert told["listeners"][0]["protocol"] == "UDP"
    assert told["pools"][0]["healthmonitor"]["type"] == "UDP-CONNECT"
    policy = {"listener_id": made["listeners"][0]["id"], "action": "REJECT"}
    shop.fails("l7policy_create", "UnsupportedOptionError")
    said = shop.fault("POST", "/v2/lbaas/l7policies", {"l7policy": policy}, 501)
    assert said == "Provider 'thirdparty' does not support a requested option: No."
    subnet = told["vip_subnet_id"]
    body = {"provider": "amphora", "vip_subnet_id": subnet, "listeners": [front]}
    said = shop.fault("POST", LB, {"loadbalancer": body}, 501)
    assert said.startswith("Provider 'amphora' does not support a requested option")


def test_the_whole_life_of_a_tree(shop: Workshop) -> None:
    """Each request is one call; everything is pending until the driver reports."""
    lb = shop.balancer()["id"]
    listener = shop.post("/v2/lbaas/listeners", {"listener": {
        "loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 80}})["id"]  # fmt: skip
    served = {"listener_id": listener, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    pool = shop.post("/v2/lbaas/pools", {"pool": served})["id"]
    members = f"/v2/lbaas/pools/{pool}/members"
    member = shop.post(members, {"member": {"address": "198.51.100.1", "protocol_port": 80}})["id"]
    watch = {"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
    monitor = shop.post("/v2/lbaas/healthmonitors", {"healthmonitor": watch})["id"]
    policy = shop.post("/v2/lbaas/l7policies", {"l7policy": {
        "listener_id": listener, "action": "REJECT"}})["id"]  # fmt: skip
    rules = f"/v2/lbaas/l7policies/{policy}/rules"
    rule = shop.post(rules, {"rule": {
        "type": "PATH", "compare_type": "STARTS_WITH", "value": "/x"}})["id"]  # fmt: skip
    paths = {
        "loadbalancer": f"{LB}/{lb}", "listener": f"/v2/lbaas/listeners/{listener}",
        "pool": f"/v2/lbaas/pools/{pool}", "member": f"{members}/{member}",
        "healthmonitor": f"/v2/lbaas/healthmonitors/{monitor}",
        "l7policy": f"/v2/lbaas/l7policies/{policy}", "rule": f"{rules}/{rule}",
    }  # fmt: skip
    heard = shop.heard()
    assert [one["function"] for one in heard] == [
        "loadbalancer_create", "listener_create", "pool_create", "member_create",
        "health_monitor_create", "l7policy_create", "l7rule_create",
    ]  # fmt: skip
    assert heard[2]["arguments"][0]["listener_id"] == listener
    assert {shop.status(path) for path in paths.values()} == {"PENDING_CREATE"}
    shop.works(lb)
    assert {shop.status(path) for path in paths.values()} == {"ACTIVE"}
    changes = {"rule": {"value": "/y"}, "healthmonitor": {"delay": 9}, "member": {"weight": 5}}
    for kind, path in paths.items():
        change = changes.get(kind, {"name": "other"})
        shop.call("PUT", path, {kind: change})
        assert shop.status(path) == "PENDING_UPDATE"
        (call,) = shop.heard()
        assert call["function"].endswith("_update")
        old, new = call["arguments"]
        assert {name: new[name] for name in change} == change
        assert {name: old[name] for name in change} != change
        assert "admin_state_up" not in new, "what did not change is Unset"
    shop.works(lb)
    for kind in ("rule", "l7policy", "healthmonitor", "member", "pool", "listener"):
        shop.call("DELETE", paths[kind], status=204)
        assert shop.status(paths[kind]) == "PENDING_DELETE"
        (call,) = shop.heard()
        assert call["function"].endswith("_delete")
        plural = {"rule": "l7rules", "l7policy": "l7policies"}.get(kind, f"{kind}s")
        gone = {"id": paths[kind].rsplit("/", 1)[1], "provisioning_status": "DELETED"}
        shop.library.update_loadbalancer_status({plural: [gone]})
        assert shop.status(paths[kind]) is None
    shop.call("DELETE", paths["loadbalancer"], status=204)
    (call,) = shop.heard()
    assert (call["function"], call["cascade"]) == ("loadbalancer_delete", False)
    assert shop.status(paths["loadbalancer"]) == "PENDING_DELETE"
    reported = {"loadbalancers": [{"id": lb, "provisioning_status": "DELETED"}]}
    shop.library.update_loadbalancer_status(reported)
    assert shop.status(paths["loadbalancer"]) is None
    assert shop.library.get_loadbalancer(lb) is None
    shop.library.update_loadbalancer_status(reported)


def test_deleting_with_everything_gives_the_vip_back(shop: Workshop) -> None:
    made = shop.planted()
    shop.fault("DELETE", f"{LB}/{made['id']}", None, 400)
    assert shop.heard() == []
    shop.call("DELETE", f"{LB}/{made['id']}?cascade=true", status=204)
    (call,) = shop.heard()
    assert call["cascade"] is True
    assert len(call["arguments"][0]["listeners"]) == len(call["arguments"][0]["pools"]) == 1
    ports = shop.call("GET", "/v2.0/ports")
    assert made["vip_port_id"] in {port["id"] for port in ports}
    shop.library.update_loadbalancer_status(
        {"loadbalancers": [{"id": made["id"], "provisioning_status": "DELETED"}]}
    )
    ports = shop.call("GET", "/v2.0/ports")
    assert made["vip_port_id"] not in {port["id"] for port in ports}


FAULTS = [
    ("DriverError", 500, "Provider 'thirdparty' reports error: No."),
    ("RuntimeError", 500, "Provider 'thirdparty' reports error: An unknown driver error occurred."),
    ("NotImplementedError", 501,
     "Provider 'thirdparty' does not support a requested action: No."),
    ("UnsupportedOptionError", 501,
     "Provider 'thirdparty' does not support a requested option: No."),
    ("Conflict", 409, "No."),
    ("NotFound", 400, "Provider 'thirdparty' reports error: No."),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "status", "text"), FAULTS)
def test_what_a_driver_refuses_is_not_stored(
    shop: Workshop, fault: str, status: int, text: str
) -> None:
    made = shop.planted()
    before = shop.call("GET", f"{LB}/{made['id']}/status")
    for function in ("loadbalancer_create", "pool_update", "member_batch_update",
                     "loadbalancer_delete"):  # fmt: skip
        shop.fails(function, fault)
    pool = made["listeners"][0]["default_pool_id"]
    balancers = len(shop.client.get(LB).json()["loadbalancers"])
    ports = len(shop.call("GET", "/v2.0/ports"))
    body = {"loadbalancer": {"vip_subnet_id": pool}}
    assert shop.fault("POST", LB, body, status) == text
    assert shop.fault("PUT", f"/v2/lbaas/pools/{pool}", {"pool": {"name": "x"}}, status) == text
    members = [{"address": f"198.51.100.{n}", "protocol_port": 80} for n in (2, 3)]
    path = f"/v2/lbaas/pools/{pool}/members"
    assert shop.fault("PUT", path, {"members": members}, status) == text
    assert shop.fault("DELETE", f"{LB}/{made['id']}?cascade=true", None, status) == text
    assert shop.call("GET", f"{LB}/{made['id']}/status") == before
    assert len(shop.client.get(LB).json()["loadbalancers"]) == balancers
    assert len(shop.call("GET", "/v2.0/ports")) == ports
    if fault == "DriverError":
        assert "the operator knows why" in shop.service.said()
    shop.behaves()
    shop.call("PUT", f"/v2/lbaas/pools/{pool}", {"pool": {"name": "x"}})


def test_a_batch_is_one_call_with_every_member(shop: Workshop) -> None:
    pool = shop.planted()["listeners"][0]["default_pool_id"]
    path = f"/v2/lbaas/pools/{pool}/members"
    wanted = [{"address": f"198.51.100.{n}", "protocol_port": 80} for n in (1, 2, 3)]
    wanted[0]["weight"] = 9
    shop.call("PUT", path, {"members": wanted}, 202)
    (call,) = shop.heard()
    assert call["function"] == "member_batch_update"
    told_pool, told = call["arguments"]
    assert told_pool == pool
    assert sorted((one["address"], one["weight"]) for one in told) == [
        ("198.51.100.1", 9), ("198.51.100.2", 1), ("198.51.100.3", 1),
    ]  # fmt: skip


def test_reports_from_inside_of_a_call_count_once_it_is_stored(shop: Workshop) -> None:
    (shop.home / "prompt").touch()
    made = shop.balancer()
    until(lambda: shop.status(f"{LB}/{made['id']}") == "ACTIVE")
    shop.call("PUT", f"{LB}/{made['id']}", {"loadbalancer": {"name": "other"}})
    until(lambda: shop.status(f"{LB}/{made['id']}") == "ACTIVE")
    shown = shop.call("GET", f"{LB}/{made['id']}")
    assert (shown["name"], shown["operating_status"]) == ("other", "ONLINE")


def test_failure_is_shown_and_nothing_is_locked(shop: Workshop) -> None:
    made = shop.planted()
    path = f"{LB}/{made['id']}"
    shop.library.update_loadbalancer_status({
        "loadbalancers": [{"id": made["id"], "provisioning_status": "ERROR"}],
        "pools": [{"id": made["listeners"][0]["default_pool_id"], "operating_status": "DEGRADED"}],
    })  # fmt: skip
    assert shop.status(path) == "ERROR"
    tree = shop.call("GET", f"{path}/status")["loadbalancer"]
    assert tree["listeners"][0]["pools"][0]["operating_status"] == "DEGRADED"
    shop.call("PUT", path, {"loadbalancer": {"name": "a"}})
    assert shop.status(path) == "PENDING_UPDATE"
    shop.call("PUT", path, {"loadbalancer": {"name": "b"}})
    assert [one["arguments"][1]["name"] for one in shop.heard()] == ["a", "b"]
    listed = shop.call("GET", f"{LB}?provisioning_status=PENDING_UPDATE&name=b")
    assert made["id"] in {one["id"] for one in listed["loadbalancers"]}


def test_what_a_provider_removes_by_itself_is_gone(shop: Workshop) -> None:
    made = shop.planted()
    listener = made["listeners"][0]
    pool = listener["default_pool_id"]
    gone = {"id": pool, "provisioning_status": "DELETED"}
    shop.library.update_loadbalancer_status({"pools": [gone]})
    assert shop.status(f"/v2/lbaas/pools/{pool}") is None
    shown = shop.call("GET", f"/v2/lbaas/listeners/{listener['id']}")
    assert (shown["default_pool_id"], shown["provisioning_status"]) == (None, "ACTIVE")
    assert shop.heard() == [], "nobody is told what a provider did itself"


def test_failover_is_the_drivers(shop: Workshop) -> None:
    made = shop.planted()
    path = f"{LB}/{made['id']}"
    shop.call("PUT", f"{path}/failover", status=202)
    (call,) = shop.heard()
    assert (call["function"], call["arguments"]) == ("loadbalancer_failover", [made["id"]])
    assert shop.status(path) == "PENDING_UPDATE"
    shop.fails("loadbalancer_failover", "NotImplementedError")
    said = shop.fault("PUT", f"{path}/failover", None, 501)
    assert said.endswith("does not support a requested action: No.")
    shop.works(made["id"])
    assert shop.status(path) == "ACTIVE"
    amphorae = shop.client.get(f"/v2/octavia/amphorae?loadbalancer_id={made['id']}")
    assert amphorae.json()["amphorae"] == []


def test_statistics(shop: Workshop) -> None:
    made = shop.planted()
    listener = made["listeners"][0]["id"]
    totals = {"active_connections": 1, "bytes_in": 2, "bytes_out": 3, "request_errors": 4,
              "total_connections": 5}  # fmt: skip
    shop.library.update_listener_statistics({"listeners": [{"id": listener, **totals}]})
    assert shop.call("GET", f"/v2/lbaas/listeners/{listener}/stats") == totals
    assert shop.call("GET", f"{LB}/{made['id']}/stats") == totals
    with pytest.raises(UpdateStatisticsError) as caught:
        shop.library.update_listener_statistics({"listeners": [{"id": listener, "bytes_in": -1}]})
    assert caught.value.stats_object_id == listener


def test_a_driver_asks_for_every_kind(shop: Workshop) -> None:
    made, library = shop.planted(), shop.library
    ids = dict(shop.objects(made["id"]))
    assert library.get_loadbalancer(made["id"]).name == "web"
    listener = library.get_listener(ids["listeners"])
    assert (listener.protocol, listener.timeout_client_data) == ("HTTP", 50000)
    assert listener.client_ca_tls_container_ref is None, "unset fields are rendered"
    assert library.get_pool(ids["pools"]).lb_algorithm == "ROUND_ROBIN"
    assert library.get_member(ids["members"]).address == "198.51.100.1"
    assert library.get_healthmonitor(ids["healthmonitors"]).delay == 5
    assert library.get_l7policy(ids["l7policies"]).action == "REJECT"
    assert library.get_l7rule(ids["l7rules"]).value == "/x"
    assert library.get_pool(ids["listeners"]) is None
    assert library.get_pool("no-such-thing") is None


def test_reports_that_are_not_a_drivers_to_make(shop: Workshop) -> None:
    ours = shop.balancer(provider="amphora")["id"]
    until(lambda: shop.status(f"{LB}/{ours}") == "ACTIVE")
    assert shop.heard() == []
    made = shop.planted()
    wrong = [
        {"loadbalancers": [{"id": ours, "provisioning_status": "DELETED"}]},
        {"pools": [{"id": made["id"], "provisioning_status": "ACTIVE"}]},
        {"loadbalancers": [{"id": made["id"], "provisioning_status": "BOOTING"}]},
    ]
    for report in wrong:
        with pytest.raises(UpdateStatusError) as caught:
            shop.library.update_loadbalancer_status(report)
        assert caught.value.status_object_id in (ours, made["id"])
    assert shop.status(f"{LB}/{ours}") == "ACTIVE"
    assert shop.library.get_loadbalancer(ours) is None


def test_providers_that_are_not_there(shop: Workshop) -> None:
    def asked_for(name: str, status: int) -> str:
        body = {"loadbalancer": {"vip_subnet_id": "5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a01",
                                 "provider": name}}  # fmt: skip
        return shop.fault("POST", LB, body, status)

    assert asked_for("nobody", 400) == "Provider 'nobody' is not enabled."
    assert asked_for("octavia", 400) == "Provider 'octavia' is not enabled."
    for name in ("thirdparty-absent", "thirdparty-broken"):
        assert asked_for(name, 501) == f"Provider '{name}' was not found."
    assert asked_for("thirdparty-bare", 501) == (
        "Provider 'thirdparty-bare' does not support a requested action: "
        "This provider does not support creating load balancers."
    )


def test_a_driver_may_make_the_vip_port(shop: Workshop) -> None:
    (shop.home / "vip").touch()
    made = shop.balancer()
    asked, create = shop.heard()
    assert asked["function"] == "create_vip_port"
    assert asked["arguments"][:2] == [made["id"], made["project_id"]]
    assert asked["arguments"][2] == {"vip_subnet_id": made["vip_subnet_id"]}
    assert made["vip_address"] == create["arguments"][0]["vip_address"] == "203.0.113.9"


def test_what_a_vip_cannot_be_is_refused_too(shop: Workshop) -> None:
    (shop.home / "vip").touch()
    shop.fails("create_vip_port", "UnsupportedOptionError")
    body = {"loadbalancer": {"vip_subnet_id": "5d8a3fb2-8c5e-4f0a-9b9c-0d5c6d1f7a01"}}
    assert shop.fault("POST", LB, body, 501).endswith("a requested option: No.")
    assert functions(shop) == ["create_vip_port"]


def test_flavors_are_validated_by_the_driver_and_told_to_it(shop: Workshop) -> None:
    listed = shop.call("GET", "/v2/lbaas/providers")
    assert ("thirdparty", "Somebody else's.") in [
        (one["name"], one["description"]) for one in listed
    ]
    path = "/v2/lbaas/providers/thirdparty/flavor_capabilities"
    assert shop.call("GET", path) == [{"name": "metal", "description": "How much of it."}]
    profile = {"name": "heavy", "provider_name": "thirdparty", "flavor_data": '{"wood": 1}'}
    said = shop.fault("POST", "/v2/lbaas/flavorprofiles", {"flavorprofile": profile}, 501)
    assert said.endswith("The flavor key wood is not known.")
    profile["flavor_data"] = '{"metal": 2}'
    made = shop.post("/v2/lbaas/flavorprofiles", {"flavorprofile": profile})
    flavor = {"name": "heavy", "flavor_profile_id": made["id"]}
    flavor_id = shop.post("/v2/lbaas/flavors", {"flavor": flavor})["id"]
    shop.heard()
    shop.balancer(flavor_id=flavor_id)
    (call,) = shop.heard()
    assert call["arguments"][0]["flavor"] == {"metal": 2}
    zone = {"name": "z", "provider_name": "thirdparty", "availability_zone_data": "{}"}
    body = {"availability_zone_profile": zone}
    said = shop.fault("POST", "/v2/lbaas/availabilityzoneprofiles", body, 501)
    assert "a requested action" in said


def test_a_quota_is_met_before_the_driver_hears(shop: Workshop) -> None:
    made = shop.planted()
    quota = f"/v2/lbaas/quotas/{made['project_id']}"
    shop.call("PUT", quota, {"quota": {"listener": 1}}, 202)
    try:
        body = {"listener": {"loadbalancer_id": made["id"], "protocol": "TCP", "protocol_port": 9}}
        said = shop.fault("POST", "/v2/lbaas/listeners", body, 403)
        assert said == "Quota has been met for resources: Listener"
        assert shop.heard() == []
    finally:
        shop.call("DELETE", quota, status=202)


def test_a_driver_that_hangs_is_waited_for_no_longer_than_it_may_take(shop: Workshop) -> None:
    made = shop.planted()
    pool = f"/v2/lbaas/pools/{made['listeners'][0]['default_pool_id']}"
    shop.takes("pool_update", 4.0)
    body = {"pool": {"name": "late"}}
    assert shop.fault("PUT", pool, body, 500) == (
        "Provider 'thirdparty' reports error: It did not answer within 3 seconds."
    )
    assert shop.call("GET", pool)["name"] == "web"
    (shop.home / "pool_update").unlink()
    told = shop.heard()
    until(lambda: told.extend(shop.heard()) or len(told) > 1)
    names = [(one["arguments"][0]["name"], one["arguments"][1]["name"]) for one in told]
    assert names == [("web", "late"), ("late", "web")], "what came too late is taken back"


def raw(path: str, sent: bytes) -> bytes:
    """What the driver agent answers to bytes that no library would send."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(5)
        one.connect(path)
        one.sendall(sent)
        one.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: one.recv(65536), b""))


NONSENSE = [
    b"", b"\n", b"12", b"x\n{}", b"-1\n", b"9" * 100, b"999999999\n", b"2\n[]", b"5\n{}",
    b"2\n{}", b"3\n\xff\xfe\xfd", b"60000\n" + b"[" * 60000, b'15\n{"pools":[null]}', b"0\n",
]  # fmt: skip


@pytest.mark.parametrize("sent", NONSENSE, ids=lambda sent: str(sent[:20]))
def test_nonsense_ends_nothing(shop: Workshop, sent: bytes) -> None:
    for path in shop.sockets.values():
        answer = raw(path, sent)
        if answer:
            length, _, payload = answer.partition(b"\n")
            assert int(length) == len(payload)
            assert isinstance(json.loads(payload), dict)
    made = shop.balancer()
    shop.works(made["id"])
    assert shop.status(f"{LB}/{made['id']}") == "ACTIVE"


def test_one_who_says_nothing_keeps_nobody_waiting(shop: Workshop) -> None:
    mute = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for one in mute:
        one.connect(shop.sockets["get_socket"])
    try:
        assert shop.library.get_pool("no-such-thing") is None
    finally:
        for one in mute:
            one.close()


def test_sockets_are_for_owner_and_group(shop: Workshop) -> None:
    for path in shop.sockets.values():
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


def test_a_service_that_starts_again(building: Callable[..., Workshop]) -> None:
    shop = building()
    shop.start()
    made = shop.planted()
    shop.call("PUT", f"{LB}/{made['id']}", {"loadbalancer": {"name": "other"}})
    shop.service.kill()
    shop.start()
    assert len(shop.heard()) == 1
    assert shop.status(f"{LB}/{made['id']}") == "PENDING_UPDATE"
    shop.works(made["id"])
    assert shop.status(f"{LB}/{made['id']}") == "ACTIVE"
    assert shop.service.stop() == 0
    assert not any(Path(path).exists() for path in shop.sockets.values())


def test_a_provider_may_have_a_process_of_its_own(building: Callable[..., Workshop]) -> None:
    shop = building('agents = ["thirdparty-agent"]')
    agent = shop.home / "agent"
    shop.start()
    until(lambda: agent.exists() and agent.read_text())
    first = int(agent.read_text())
    os.kill(first, 9)
    until(lambda: agent.read_text() not in ("", str(first)))
    second = int(agent.read_text())
    assert shop.service.stop() == 0
    assert agent.read_text() == "ended"
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
    shop.start()
    until(lambda: agent.read_text() not in ("", "ended"))
    orphan = int(agent.read_text())
    shop.service.kill()
    until(lambda: agent.read_text() == "ended")
    until(lambda: not Path(f"/proc/{orphan}/cmdline").exists())


def test_nobody_pays_for_drivers_that_are_not_enabled(building: Callable[..., Workshop]) -> None:
    shop = building()
    (shop.service.state_dir / "fairlead.toml").unlink()
    shop.start()
    assert not any(Path(path).exists() for path in shop.sockets.values())
    loaded = "import sys; from fairlead.settings import Settings; import fairlead.wiring; "
    loaded += "print([name for name in sys.modules if name.startswith('octavia_lib')])"
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True)
    assert said.stdout == "[]\n", said.stderr
