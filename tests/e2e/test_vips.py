"""One load balancer on an IPv4 and an IPv6 address: clients and members of both families."""

from tests.clients.driving import Openstack
from tests.clients.test_network_commands import told
from tests.e2e.clients import ask, names, refused
from tests.e2e.machines import Machine
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool


def test_an_additional_vip(site: Site, farm: Machine) -> None:
    back4 = [member(farm, p) for p in (8001, 8002)]
    six = {"address": farm.addresses[1], "subnet_id": site.subnet6["id"]}
    back6 = [member(farm, p, f"six{p}") | six for p in (8003, 8004)]
    api = site.api
    lb = api.balancer(
        name="both",
        vip_subnet_id=site.subnet4["id"],
        additional_vips=[{"subnet_id": site.subnet6["id"]}],
        listeners=[
            listener(80, pool("p", [*back4, *back6])),
            listener(81, pool("sticky", back4, session_persistence={"type": "SOURCE_IP"})),
            listener(82, {"name": "p"}, allowed_cidrs=[f"{site.source(1)}/32",
                                                       f"{site.source6(4)}/126"]),
            listener(83, pool("proxy", [member(farm, 8501)], protocol="PROXY")),
        ],
    )  # fmt: skip
    (second,) = lb.get()["additional_vips"]
    vip6, port_id = second["ip_address"], second["port_id"]
    assert port_id == lb.get()["vip_port_id"]
    everyone = {"farm:8001", "farm:8002", "farm:8003", "farm:8004"}
    for vip, source in ((lb.vip, site.source(1)), (vip6, site.source6(5))):
        assert set(names(8, vip, 80)) == everyone
        assert len(names(4, vip, 81, source=source)) == 1
        assert ask(vip, 82, source=source).status == 200
        assert ask(vip, 83, source=source).said["proxy"]["source"] == source
    assert refused(lb.vip, 82, source=site.source(2))
    assert refused(vip6, 82, source=site.source6(1))
    lb.put("l82", allowed_cidrs=None)
    assert ask(vip6, 82, source=site.source6(1)).status == 200
    fixed = api.get(f"/v2.0/ports/{port_id}")["fixed_ips"]
    assert {ip["ip_address"] for ip in fixed} == {lb.vip, vip6}
    lb.delete()
    assert api.gone(f"/v2.0/ports/{port_id}")


def test_networks_by_command(site: Site) -> None:
    """The same commands as on the in-memory networks, on real ones."""
    osc = Openstack(site.state_dir / "clouds.yaml", "fairlead")
    told(osc)
    osc.close()
