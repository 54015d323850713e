"""A certificate swapped under load: no handshake fails, no request, no connection is dropped."""

from collections.abc import Iterator

import pytest

from tests.authority import Authority
from tests.e2e.api import Balancer
from tests.e2e.clients import Load
from tests.e2e.machines import Machine
from tests.e2e.secure import ask_over, client, keep, name_shown
from tests.e2e.site import Site
from tests.e2e.trees import listener, member, pool

CA = Authority()
NAMES = [f"number-{n}.test" for n in range(5)]


@pytest.fixture
def lb(site: Site, farm: Machine) -> Iterator[Balancer]:
    own = {"protocol": "TERMINATED_HTTPS",
           "default_tls_container_ref": keep(site.api, CA.issue("first.test"))}  # fmt: skip
    made = site.api.balancer(
        name="swapped", vip_subnet_id=site.subnet4["id"],
        listeners=[listener(443, pool("web", [member(farm, 8001), member(farm, 8002)]), **own)],
    )  # fmt: skip
    yield made
    made.delete()


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_swapped_under_load(site: Site, lb: Balancer, keep_alive: bool) -> None:
    trusting = client(CA)
    trusting.check_hostname = False
    with Load([(lb.vip, 443)], keep_alive=keep_alive, tls=trusting) as load:
        load.more(40)
        for name in NAMES:
            reference = keep(site.api, CA.issue(name))
            lb.put("l443", default_tls_container_ref=reference)
            assert name_shown(lb.vip, 443, client(CA), name) == name
            load.more(40)
        lb.put("l443", default_tls_container_ref=reference)
        load.more(40)
    assert load.failures == []


def test_a_certificate_that_is_refused_leaves_the_old_one(site: Site, lb: Balancer) -> None:
    bad = keep(site.api, CA.issue("old.test", days=-1))
    body = {"listener": {"default_tls_container_ref": bad}}
    fault = site.api.call("PUT", lb.at("l443"), body, status=400)
    assert "expired" in fault["faultstring"]
    assert ask_over(lb.vip, 443, client(CA), "first.test").status == 200
