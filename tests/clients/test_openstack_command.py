"""Every `openstack loadbalancer` command there is, in the order of a long day.

The tests of this file run one after another on one service: each takes up where the one before
ended. The last one compares what was run with the commands that the client has.
"""

import json
from importlib.metadata import entry_points

from tests.clients.conftest import Cloud
from tests.clients.driving import Openstack

LB = "loadbalancer"


def test_networks(osc: Openstack) -> None:
    osc("network create front")
    osc("subnet create front-v4 --network front --subnet-range 192.0.2.0/24 --gateway 192.0.2.1")
    assert osc.json("subnet show front-v4")["cidr"] == "192.0.2.0/24"
    assert "front" in osc("network list")


def test_load_balancers(osc: Openstack) -> None:
    made = osc.json(f"{LB} create --name web --vip-subnet-id front-v4 --tag blue --wait")
    assert (made["provisioning_status"], made["provider"]) == ("ACTIVE", "amphora")
    assert made["vip_address"].startswith("192.0.2.")
    osc(f"{LB} set web --description 'the shop' --tag red")
    shown = osc.json(f"{LB} show web")
    assert shown["description"] == "the shop"
    assert sorted(shown["tags"]) == ["blue", "red"]
    osc(f"{LB} unset web --description --all-tag")
    assert osc.json(f"{LB} show web")["tags"] == []
    assert [one["name"] for one in osc.json(f"{LB} list --name web")] == ["web"]
    assert osc.json(f"{LB} list --tags nowhere") == []
    assert osc.json(f"{LB} stats show web")["total_connections"] == 0
    tree = json.loads(osc(f"{LB} status show web"))
    assert tree["loadbalancer"]["name"] == "web"
    assert "Unable to locate nowhere" in osc.refused(f"{LB} show nowhere")
    osc(f"{LB} failover web --wait")


def test_listeners(osc: Openstack) -> None:
    osc(f"{LB} listener create --name http --protocol HTTP --protocol-port 80 "
        "--connection-limit 100 --insert-headers X-Forwarded-For=true --allowed-cidr 192.0.2.0/24 "
        "--timeout-client-data 1000 --tag blue web")  # fmt: skip
    shown = osc.json(f"{LB} listener show http")
    assert (shown["connection_limit"], shown["timeout_client_data"]) == (100, 1000)
    assert shown["allowed_cidrs"] == ["192.0.2.0/24"]
    osc(f"{LB} listener set http --connection-limit 200 --name front")
    osc(f"{LB} listener unset front --connection-limit --allowed-cidrs --insert-headers")
    shown = osc.json(f"{LB} listener show front")
    assert (shown["connection_limit"], shown["allowed_cidrs"]) == (-1, None)
    osc(f"{LB} listener set front --name http")
    assert [one["name"] for one in osc.json(f"{LB} listener list --loadbalancer web")] == ["http"]
    assert osc.json(f"{LB} listener stats show http")["bytes_in"] == 0
    complaint = osc.refused(
        f"{LB} listener create --protocol HTTP --protocol-port 80 --name again web"
    )
    assert "already using protocol_port 80" in complaint


def test_pools_members_and_monitors(osc: Openstack) -> None:
    osc(f"{LB} pool create --name servers --listener http --protocol HTTP "
        "--lb-algorithm ROUND_ROBIN "
        "--session-persistence type=APP_COOKIE,cookie_name=sid")  # fmt: skip
    osc(f"{LB} pool set servers --lb-algorithm LEAST_CONNECTIONS --tag green")
    osc(f"{LB} pool unset servers --session-persistence --all-tag")
    shown = osc.json(f"{LB} pool show servers")
    assert (shown["lb_algorithm"], shown["session_persistence"]) == ("LEAST_CONNECTIONS", None)
    assert len(osc.json(f"{LB} pool list --loadbalancer web")) == 1

    osc(f"{LB} member create --name one --address 192.0.2.11 --protocol-port 8080 --weight 3 "
        "--subnet-id front-v4 servers")  # fmt: skip
    osc(f"{LB} member create --name two --address 192.0.2.12 --protocol-port 8080 servers")
    osc(f"{LB} member set servers one --weight 5 --monitor-port 8081 --enable-backup")
    osc(f"{LB} member unset servers one --monitor-port --backup")
    shown = osc.json(f"{LB} member show servers one")
    assert (shown["weight"], shown["backup"], shown["monitor_port"]) == (5, False, None)
    assert [one["name"] for one in osc.json(f"{LB} member list servers")] == ["one", "two"]
    osc(f"{LB} member delete servers two")

    osc(f"{LB} healthmonitor create --name check --type HTTP --delay 5 --timeout 3 "
        "--max-retries 2 --url-path /up --expected-codes 200-204 servers")  # fmt: skip
    osc(f"{LB} healthmonitor set check --delay 7 --http-method HEAD")
    osc(f"{LB} healthmonitor unset check --http-method --expected-codes")
    shown = osc.json(f"{LB} healthmonitor show check")
    assert (shown["delay"], shown["http_method"], shown["expected_codes"]) == (7, "GET", "200")
    assert [one["name"] for one in osc.json(f"{LB} healthmonitor list")] == ["check"]


def test_policies_and_rules(osc: Openstack) -> None:
    osc(f"{LB} l7policy create --name away --action REDIRECT_TO_URL "
        "--redirect-url http://example.org/ --redirect-http-code 301 http")  # fmt: skip
    osc(f"{LB} l7policy set away --redirect-pool servers")
    assert osc.json(f"{LB} l7policy show away")["action"] == "REDIRECT_TO_POOL"
    osc(f"{LB} l7policy set away --description why")
    osc(f"{LB} l7policy unset away --description")
    assert [one["name"] for one in osc.json(f"{LB} l7policy list")] == ["away"]
    made = osc.json(f"{LB} l7rule create --type PATH --compare-type STARTS_WITH --value /a away")
    osc(f"{LB} l7rule set away {made['id']} --value /b --invert")
    osc(f"{LB} l7rule unset away {made['id']} --invert")
    shown = osc.json(f"{LB} l7rule show away {made['id']}")
    assert (shown["value"], shown["invert"]) == ("/b", False)
    assert len(osc.json(f"{LB} l7rule list away")) == 1
    osc(f"{LB} l7rule delete away {made['id']}")
    osc(f"{LB} l7policy delete away")


def test_amphorae(osc: Openstack) -> None:
    osc(f"{LB} show web")
    found = osc.json(f"{LB} amphora list --loadbalancer web")
    assert [one["role"] for one in found] == ["STANDALONE"]
    amphora = found[0]["id"]
    assert osc.json(f"{LB} amphora show {amphora}")["status"] == "ALLOCATED"
    osc(f"{LB} amphora stats show {amphora}")
    osc(f"{LB} amphora configure {amphora}")
    osc(f"{LB} amphora failover {amphora}")
    osc.refused(f"{LB} amphora delete {amphora}")


def test_providers_flavors_and_zones(osc: Openstack) -> None:
    assert {one["name"] for one in osc.json(f"{LB} provider list")} >= {"amphora", "octavia"}
    told = osc.json(f"{LB} provider capability list amphora")
    assert "loadbalancer_topology" in {one["name"] for one in told}
    data = json.dumps({"loadbalancer_topology": "SINGLE"})
    osc(f"{LB} flavorprofile create --name small --provider amphora --flavor-data '{data}'")
    osc(f"{LB} flavorprofile set small --name smaller")
    osc(f"{LB} flavor create --name S --flavorprofile smaller --description tiny --enable")
    osc(f"{LB} flavor set S --description 'very small'")
    osc(f"{LB} flavor unset S --description")
    assert osc.json(f"{LB} flavor show S")["description"] == ""
    assert [one["name"] for one in osc.json(f"{LB} flavor list")] == ["S"]
    assert osc.json(f"{LB} flavorprofile show smaller")["provider_name"] == "amphora"
    assert len(osc.json(f"{LB} flavorprofile list")) == 1
    assert osc.json(f"{LB} create --name flavored --vip-subnet-id front-v4 --flavor S")["flavor_id"]
    assert "in use" in osc.refused(f"{LB} flavor delete S")
    osc(f"{LB} delete flavored --wait")
    osc(f"{LB} flavor delete S")
    osc(f"{LB} flavorprofile delete smaller")

    zone = json.dumps({"compute_zone": "rack-1"})
    osc(f"{LB} availabilityzoneprofile create --name r --provider amphora "
        f"--availability-zone-data '{zone}'")  # fmt: skip
    osc(f"{LB} availabilityzoneprofile set r --name rack")
    osc(f"{LB} availabilityzone create --name az1 --availabilityzoneprofile rack --enable")
    osc(f"{LB} availabilityzone set az1 --description first")
    osc(f"{LB} availabilityzone unset az1 --description")
    assert osc.json(f"{LB} availabilityzone show az1")["name"] == "az1"
    assert len(osc.json(f"{LB} availabilityzone list")) == 1
    assert osc.json(f"{LB} availabilityzoneprofile show rack")["name"] == "rack"
    assert len(osc.json(f"{LB} availabilityzoneprofile list")) == 1
    osc(f"{LB} availabilityzone delete az1")
    osc(f"{LB} availabilityzoneprofile delete rack")


def test_quotas(osc: Openstack, cloud: Cloud) -> None:
    project = cloud.project
    assert osc.json(f"{LB} quota defaults show")["load_balancer"] == -1
    osc(f"{LB} quota set {project} --loadbalancer 1 --pool 9")
    assert osc.json(f"{LB} quota show {project}")["load_balancer"] == 1
    assert "Quota has been met" in osc.refused(f"{LB} create --name more --vip-subnet-id front-v4")
    assert len(osc.json(f"{LB} quota list")) == 1
    osc(f"{LB} quota unset {project} --loadbalancer")
    osc(f"{LB} quota reset {project}")
    assert osc.json(f"{LB} quota show {project}")["pool"] == -1


def test_the_end_of_the_day(osc: Openstack) -> None:
    osc(f"{LB} healthmonitor delete check")
    osc(f"{LB} member delete servers one")
    osc(f"{LB} pool delete servers")
    osc(f"{LB} listener delete http")
    osc(f"{LB} delete web --wait")
    assert osc.json(f"{LB} list") == []
    osc("subnet delete front-v4")
    osc("network delete front")


def test_every_command_was_run(osc: Openstack) -> None:
    names = {one.name.replace("_", " ") for one in entry_points(group="openstack.load_balancer.v2")}
    assert len(names) > 80
    ran = {name for name in names for line in osc.ran if f"{line} ".startswith(f"{name} ")}
    assert names - ran == set()
