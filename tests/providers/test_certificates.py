"""What drivers get of certificates: not the references alone, but what they lead to."""

from typing import Any

import pytest

from fairlead.drivers.fake import FakeVault
from fairlead.drivers.provider_octavia_lib.calls import driver_call
from fairlead.errors import Refused
from fairlead.plan.telling import Told
from fairlead.ports import Bundle
from tests.authority import Authority
from tests.domain.gardening import grown, only
from tests.strategies import replace

BUNDLE, SNI, CA, CRL, CLIENT = (
    f"https://vault.test/v1/containers/{name}" for name in ("bundle", "sni", "ca", "crl", "client")
)


def bundle(name: str) -> Bundle:
    """A certificate of its own making."""
    return replace(Authority().issue(name), intermediates=("between",))


@pytest.fixture
def vault() -> FakeVault:
    made = FakeVault()
    made.bundles = {BUNDLE: bundle("www.test"), SNI: bundle("sni.test"), CLIENT: bundle("client")}
    made.texts = {CA: "authorities", CRL: "revoked"}
    return made


FREE = grown()
LISTENER = replace(
    only(FREE, "listener"), default_tls_container_ref=BUNDLE, sni_container_refs=(SNI,),
    client_ca_tls_container_ref=CA, client_crl_container_ref=CRL,
)  # fmt: skip
POOL = replace(
    only(FREE, "pool"), tls_container_ref=CLIENT, ca_tls_container_ref=CA, crl_container_ref=CRL
)
TREE = FREE.with_objects(LISTENER, POOL)


async def told(call: Told, vault: FakeVault) -> list[Any]:
    return list((await driver_call(call, FREE, TREE, vault)).arguments)


async def test_a_listener_has_them(vault: FakeVault) -> None:
    (model,) = await told(Told(verb="create", kind="listener", after=LISTENER), vault)
    container = model.default_tls_container_data
    assert container["primary_cn"] == "www.test"
    assert container["certificate"] == vault.bundles[BUNDLE].certificate
    assert container["private_key"] == vault.bundles[BUNDLE].private_key
    assert container["intermediates"] == ["between"]
    assert container["passphrase"] is None
    assert model.default_tls_container_ref == BUNDLE
    assert [one["primary_cn"] for one in model.sni_container_data] == ["sni.test"]
    assert model.client_ca_tls_container_data == "authorities"
    assert model.client_crl_container_data == "revoked"
    assert model.default_pool.tls_container_data["primary_cn"] == "client"


async def test_a_load_balancer_has_those_of_all_its_parts(vault: FakeVault) -> None:
    (model,) = await told(Told(verb="create", kind="loadbalancer", after=TREE.root), vault)
    assert model.listeners[0].default_tls_container_data["primary_cn"] == "www.test"
    pool = next(one for one in model.pools if one.pool_id == POOL.id)
    assert pool.ca_tls_container_data == "authorities"
    assert pool.crl_container_data == "revoked"


async def test_an_update_has_what_changed(vault: FakeVault) -> None:
    call = Told(verb="update", kind="pool", before=only(FREE, "pool"), after=POOL)
    old, new = await told(call, vault)
    assert not old.tls_container_data
    assert new.tls_container_data["primary_cn"] == "client"
    assert new.pool_id == POOL.id
    assert not new.lb_algorithm, "Unset"


async def test_an_update_of_something_else_asks_for_no_certificate() -> None:
    call = Told(verb="update", kind="listener", before=LISTENER, after=replace(LISTENER, name="x"))
    _, new = (await driver_call(call, TREE, TREE, FakeVault())).arguments
    assert new.name == "x"
    assert not new.default_tls_container_data


async def test_what_cannot_be_had_keeps_from_making_and_not_from_removing() -> None:
    nothing = FakeVault()
    with pytest.raises(Refused, match="Could not retrieve certificate"):
        await told(Told(verb="create", kind="listener", after=LISTENER), nothing)
    call = Told(verb="delete", kind="listener", before=LISTENER)
    (model,) = (await driver_call(call, TREE, TREE, nothing)).arguments
    assert model.default_tls_container_ref == BUNDLE
    assert not model.default_tls_container_data
