"""Certificates of Fairlead's own that live for seconds, and another authority: no client notices.

A service of its own: its certificates are renewed every few seconds.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.api import Balancer
from tests.e2e.clients import Load, eventually
from tests.e2e.conftest import write_certificate
from tests.e2e.site import SETTINGS, Site
from tests.e2e.trees import listener, member, pool

LIFE = timedelta(seconds=15)
SHORT = f"""
{SETTINGS.replace("[controller]", "[controller]" + chr(10) + "resync = 0.5")}
[trust]
certificate_life = {LIFE.seconds}
"""
REPAIR = 60.0


@pytest.fixture(scope="module")
def short(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Balancer]]:
    """A site within the site."""
    made = Site(tmp_path_factory.mktemp("short"), SHORT, "short")
    try:
        write_certificate(made.certificate)
        made.open()
        farm = made.machine("short-farm", {8001: "http", 8002: "http"})
        lb = made.api.balancer(
            name="long-lived", vip_subnet_id=made.subnet4["id"],
            listeners=[listener(80, pool("main", [member(farm, 8001), member(farm, 8002)]))],
        )  # fmt: skip
        lb.online()
        yield made, lb
        lb.delete()
    finally:
        made.close()


def ends(site: Site, lb: Balancer) -> datetime:
    """When the amphora's certificate ends, by the API."""
    amphora = site.api.get(f"/v2.0/octavia/amphorae/{site.amphora(lb.id)}")
    return datetime.fromisoformat(amphora["cert_expiration"]).replace(tzinfo=UTC)


def test_lives_pass_under_load(short: tuple[Site, Balancer]) -> None:
    site, lb = short
    haproxies, agent, first = site.haproxies(lb.id), site.agent(lb.id), ends(site, lb)
    seen = {first}
    with Load([(lb.vip, 80)], keep_alive=True) as load:
        while max(seen) - first < 3 * LIFE:
            load.more(100)
            seen.add(ends(site, lb))
            assert max(seen) > datetime.now(UTC), lb.story()
    assert load.failures == []
    assert len(seen) >= 4
    assert (site.haproxies(lb.id), site.agent(lb.id)) == (haproxies, agent)
    assert "retry" not in lb.story()
    log = site.log.read_text()
    assert log.count("the controller's certificate is renewed") >= 3
    assert "could not be renewed" not in log
    lb.put("main/m8001", weight=5)
    lb.settled()


def test_another_authority_takes_over(short: tuple[Site, Balancer]) -> None:
    """As the operator guide says: the service is stopped, the file moved away, and started."""
    site, lb = short
    haproxies, agent = site.haproxies(lb.id), site.agent(lb.id)
    secrets = site.state_dir / "secrets"
    before = (secrets / "authority.pem").read_text()
    with Load([(lb.vip, 80)], keep_alive=True) as load:
        site.stop()
        (secrets / "authority.sealed").rename(secrets / "authority.sealed.before")
        site.start()
        eventually(lambda: site.agent(lb.id) not in (None, agent), REPAIR)
        lb.online(REPAIR)
        load.more(100)
    assert load.failures == []
    assert (secrets / "authority.pem").read_text() != before
    assert site.haproxies(lb.id) == haproxies
    assert ends(site, lb) > datetime.now(UTC)
    lb.put("main/m8001", weight=7)
    lb.settled()
