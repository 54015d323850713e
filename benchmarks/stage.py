"""What is on the service's default network: machines with an address, web servers, balancers.

Web servers are one haproxy that answers by itself: it costs little CPU, so that what is measured
is the haproxy before it. Every port of it answers with its own number.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.api import LBAAS, Api
from benchmarks.lab import namespace, process, run, until
from benchmarks.probes import answer
from benchmarks.service import Service
from fairlead.plan.planner import amphora_id

FIRST_PORT = 8001
SERVERS = 40


@dataclass(frozen=True)
class Subnet:
    """The default network's IPv4 range."""

    id: str
    network_id: str
    prefix: int


@dataclass(frozen=True)
class Machine:
    """A namespace with a card on the default network."""

    namespace: str
    address: str


def default_subnet(api: Api) -> Subnet:
    """The range whose VIPs this host reaches."""
    for one in api.get("/v2.0/subnets")["subnets"]:
        if one["ip_version"] == 4:
            return Subnet(one["id"], one["network_id"], int(one["cidr"].split("/")[1]))
    raise LookupError("no IPv4 subnet")


@contextmanager
def machine(service: Service, what: str) -> Iterator[Machine]:
    """A machine with an address that an API port gave it."""
    subnet = default_subnet(service.api)
    port = service.api.post("/v2.0/ports", "port", network_id=subnet.network_id, name=what,
                            fixed_ips=[{"subnet_id": subnet.id}])  # fmt: skip
    address = port["fixed_ips"][0]["ip_address"]
    bridge = port["binding:vif_details"]["bridge_name"]
    with namespace(what) as name:
        card = f"b{service.instance}{what[:6]}"
        run("ip", "link", "add", card, "type", "veth", "peer", "name", "eth0",
            "address", port["mac_address"], "netns", name)  # fmt: skip
        run("ip", "link", "set", card, "master", bridge, "up")
        run("ip", "-n", name, "addr", "add", f"{address}/{subnet.prefix}", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        yield Machine(name, address)


@contextmanager
def web_servers(service: Service) -> Iterator[str]:
    """`SERVERS` web servers on ports from `FIRST_PORT`; their common address."""
    fronts = "".join(
        f"frontend {port}\n    bind :{port}\n"
        f"    http-request return status 200 content-type text/plain string {port}\n"
        for port in range(FIRST_PORT, FIRST_PORT + SERVERS)
    )
    configuration = f"global\n    maxconn 8000\n{_TIMEOUTS}{fronts}"
    with machine(service, "servers") as where, bare_haproxy(service, where, configuration):
        until("web servers", 5, lambda: answer(where.address, FIRST_PORT) is not None)
        yield where.address


@contextmanager
def bare_haproxy(service: Service, where: Machine, configuration: str) -> Iterator[int]:
    """A haproxy of our own on a machine; its process id."""
    path = service.state_dir.parent / f"{where.namespace}.cfg"
    path.write_text(configuration)
    log = Path(f"{path}.log")
    with process(["haproxy", "-db", "-f", str(path)], log=log, namespace=where.namespace) as child:
        yield child.pid


_TIMEOUTS = """\
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
"""


@dataclass(frozen=True)
class Balancer:
    """A load balancer as it was answered: its ids and its VIP."""

    id: str
    vip: str
    listener_id: str
    pool_id: str


def tree(subnet_id: str, address: str, name: str, members: int = 2) -> dict[str, Any]:
    """The body of a load balancer with a listener, a pool, members and an HTTP monitor."""
    ports = range(FIRST_PORT, FIRST_PORT + members)
    pool = {
        "name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": address, "protocol_port": port} for port in ports],
        "healthmonitor": {
            "type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "url_path": "/",
        },
    }  # fmt: skip
    listener = {"name": "web", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    return {"name": name, "vip_subnet_id": subnet_id, "listeners": [listener]}


def create(api: Api, body: dict[str, Any]) -> Balancer:
    """Post the body; the answer comes before anything was built."""
    made = api.post(f"{LBAAS}/loadbalancers", "loadbalancer", **body)
    listener = made["listeners"][0]
    return Balancer(made["id"], made["vip_address"], listener["id"], made["pools"][0]["id"])


def home(service: Service, balancer: Balancer) -> Path:
    """The directory that the load balancer's amphora keeps its files in."""
    return service.state_dir / "amphorae" / amphora_id(balancer.id, 0) / "own"
