"""The agent of a `ComputeHost` sandbox, its console and its management card, in the long run."""

import asyncio
import os
import signal
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.domain.observed import FixedIp
from fairlead.drivers.amphora_rest import AmphoraRest
from fairlead.drivers.compute_host import AGENT, sandbox
from fairlead.drivers.secrets_local import SecretsLocal
from fairlead.errors import Retryable
from fairlead.ports import AmphoraSpec
from fairlead.wire.amphora import AGENT_PORT
from tests.live_amphora import Now

pytestmark = pytest.mark.root

HOST = "10.99.0.1"


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def created(rig: Any) -> str:
    spec = rig.spec()
    await rig.compute.create(spec)
    return str(spec.boot.amphora_id)


def outer(rig: Any, amphora_id: str) -> int:
    (found,) = set(rig.processes(amphora_id)) - {rig.init(amphora_id)}
    return found


async def test_a_hung_agent_is_restarted_and_its_daemons_stay(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    first = host_rig.init(amphora_id)
    assert host_rig.inside(amphora_id, "echo here").strip() == "here"
    (agent,) = children(first)
    daemon = host_rig.inside(amphora_id, "(setsid sleep 600 > /dev/null 2>&1 & echo $!)").strip()
    (adopted,) = children(first) - {agent}
    os.kill(agent, signal.SIGSTOP)
    await host_rig.compute.restart_agent(amphora_id)
    assert not Path(f"/proc/{agent}").exists() or state(agent) == "Z"
    assert host_rig.inside(amphora_id, f"kill -0 {daemon} && echo alive").strip() == "alive"
    assert adopted in children(first)
    assert host_rig.init(amphora_id) == first


async def real_spec(rig: Any, secrets: SecretsLocal) -> AmphoraSpec:
    """A spec with key material that an agent can serve with."""
    spec: AmphoraSpec = rig.spec()
    return await renewed(spec, secrets)


async def renewed(spec: AmphoraSpec, secrets: SecretsLocal) -> AmphoraSpec:
    issued = await secrets.issue(spec.boot.amphora_id, spec.boot.listen)
    boot = replace(
        spec.boot, certificate=issued.certificate, private_key=issued.private_key,
        authority=issued.authority,
    )  # fmt: skip
    return replace(spec, boot=boot)


def served(address: str) -> str:
    """The certificate that is shown there, as PEM."""
    return ssl.get_server_certificate((address, AGENT_PORT), timeout=5)


async def answers(rest: AmphoraRest, spec: AmphoraSpec) -> None:
    for _ in range(100):
        try:
            await rest.status(spec.boot.amphora_id, spec.boot.listen)
        except Retryable:
            await asyncio.sleep(0.1)
        else:
            return
    pytest.fail("the agent does not answer")


async def test_a_restarted_agent_serves_what_boot_json_has_now(
    host_rig: Any, tmp_path: Path
) -> None:
    subprocess.run(["ip", "address", "add", f"{HOST}/24", "dev", "mgmt-br"], check=True)
    host_rig.options |= {"agent_command": AGENT, "memory_bytes": 256 << 20}
    host_rig.compute = host_rig.restarted()
    secrets = SecretsLocal(tmp_path / "secrets", clock=Now())
    rest = AmphoraRest(secrets, timeout=2.0)
    try:
        spec = await real_spec(host_rig, secrets)
        await host_rig.compute.create(spec)
        await answers(rest, spec)
        assert served(spec.boot.listen).strip() == spec.boot.certificate.strip()
        (agent,) = children(host_rig.init(spec.boot.amphora_id))
        os.kill(agent, signal.SIGSTOP)
        fresh = await renewed(spec, secrets)
        await host_rig.compute.create(fresh)
        await host_rig.compute.restart_agent(fresh.boot.amphora_id)
        await answers(rest, fresh)
        assert served(spec.boot.listen).strip() == fresh.boot.certificate.strip()
    finally:
        await rest.close()


async def test_without_the_outer_bwrap_an_amphora_goes_on(host_rig: Any) -> None:
    spec = host_rig.spec()
    amphora_id = spec.boot.amphora_id
    await host_rig.compute.create(spec)
    assert host_rig.inside(amphora_id, "echo here").strip() == "here"
    first = host_rig.init(amphora_id)
    os.kill(outer(host_rig, amphora_id), signal.SIGKILL)
    port = host_rig.port("net-a")
    await host_rig.compute.attach(amphora_id, port)
    for _ in range(2):
        seen = await host_rig.compute.observe(amphora_id)
        assert (seen.running, seen.macs) == (True, {port.mac})
        await host_rig.compute.create(spec)
        await host_rig.compute.restart_agent(amphora_id)
    assert host_rig.inside(amphora_id, "echo here").strip() == "here"
    assert host_rig.processes(amphora_id) == [first]
    await host_rig.compute.delete(amphora_id)
    assert host_rig.leftovers(amphora_id) == []


async def test_a_sandbox_that_does_not_stand_yet_is_none(host_rig: Any, tmp_path: Path) -> None:
    amphora_id = await created(host_rig)
    marker = f"{host_rig.instance}/{amphora_id}"
    console = host_rig.home(amphora_id) / "console.log"
    assert host_rig.inside(amphora_id, "echo here").strip() == "here"
    assert sandbox.first_process(marker, console) == host_rig.init(amphora_id)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    assert sandbox.first_process(marker, elsewhere) is None


async def test_the_console_is_emptied_when_it_has_grown_long(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    console = host_rig.home(amphora_id) / "console.log"
    with open(console, "ab") as file:
        file.write(b"early\n" * (1 << 20))
    await host_rig.compute.observe(amphora_id)
    assert console.stat().st_size < 1 << 20
    flags = Path(f"/proc/{host_rig.init(amphora_id)}/fdinfo/2").read_text().split("flags:")[1]
    assert int(flags.split()[0], 8) & os.O_APPEND, "else the file would get a hole"


async def test_no_traffic_leaves_by_the_management_card(host_rig: Any) -> None:
    """A VIP's subnet may be without a gateway: then there is no way, and not this one."""
    spec = host_rig.spec()
    address = spec.management.fixed_ips[0].cidr
    fixed = FixedIp(subnet_id="s", address=spec.boot.listen, cidr=address, gateway=HOST)
    await host_rig.compute.create(
        replace(spec, management=replace(spec.management, fixed_ips=(fixed,)))
    )
    amphora_id = spec.boot.amphora_id
    routes = host_rig.inside(amphora_id, "ip route show default; ip -6 route show default")
    assert routes.strip() == ""


async def test_boot_data_leaves_no_copy_behind(host_rig: Any) -> None:
    spec = host_rig.spec()
    home = host_rig.home(spec.boot.amphora_id)
    home.mkdir(parents=True)
    (home / "boot.json.new").write_text("cut short")
    await host_rig.compute.create(spec)
    holders = [p for p in home.rglob("*") if p.is_file() and b"private-key" in p.read_bytes()]
    assert holders == [home / "own" / "boot.json"]
    assert not (home / "boot.json.new").exists()
    assert (home / "own" / "boot.json").stat().st_mode & 0o777 == 0o600
