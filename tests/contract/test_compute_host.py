"""What only `ComputeHost` does: cards, isolation, limits, and repair after crashes."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.drivers.compute_host import cards, sandbox
from fairlead.errors import Refused, Retryable

pytestmark = pytest.mark.root
LIMITS = {"memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.max"}


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A named network namespace with the rig's bridges, as an operator's shell would use."""
    name = f"fltest-{os.getpid()}-compute"
    ip("netns", "add", name)
    try:
        for bridge in ("mgmt-br", "net-a"):
            ip("-n", name, "link", "add", bridge, "type", "bridge")
        yield name
    finally:
        ip("netns", "del", name)


@contextlib.contextmanager
def stray_namespace() -> Iterator[str]:
    """The id of a process in a nameless network namespace of its own."""
    command = ["unshare", "--net", "sh", "-c", "echo in; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"in\n"
            yield str(process.pid)
        finally:
            process.kill()


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def links(rig: Any, amphora_id: str) -> dict[str, dict[str, Any]]:
    shown = json.loads(ip("-n", rig.namespace(amphora_id), "-j", "address"))
    return {link["ifname"]: link for link in shown}


async def created(rig: Any) -> str:
    spec = rig.spec()
    await rig.compute.create(spec)
    return str(spec.boot.amphora_id)


async def test_management_card_has_its_addresses_at_once(host_rig: Any) -> None:
    spec = host_rig.spec()
    await host_rig.compute.create(spec)
    card = links(host_rig, spec.boot.amphora_id)["mgmt0"]
    assert (card["address"], card["mtu"]) == (spec.management.mac, 1442)
    ready = {a["local"] for a in card["addr_info"] if not a.get("tentative")}
    assert {fixed.address for fixed in spec.management.fixed_ips} <= ready


async def test_amphorae_reach_the_controller_but_not_each_other(host_rig: Any) -> None:
    ip("address", "add", "10.99.0.1/24", "dev", "mgmt-br")
    one, two = host_rig.spec(), host_rig.spec()
    for spec in (one, two):
        await host_rig.compute.create(spec)
    ping = "ping -c1 -W1 {} > /dev/null && echo answered || echo silent"
    asked = host_rig.inside(one.boot.amphora_id, ping.format("10.99.0.1"))
    assert asked.strip() == "answered"
    asked = host_rig.inside(one.boot.amphora_id, ping.format(two.boot.listen))
    assert asked.strip() == "silent"


async def test_attached_card_is_up_in_its_bridge(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    port = host_rig.port("net-a")
    await host_rig.compute.attach(amphora_id, port)
    name = cards.card_name(host_rig.instance, port.mac)
    inner, outer = links(host_rig, amphora_id)[name], host_rig.cards()[name]
    assert (inner["address"], inner["mtu"]) == (port.mac, 1442)
    assert "UP" in inner["flags"]
    assert (outer["master"], outer["mtu"]) == ("net-a", 1442)
    assert not any(address["family"] == "inet" for address in inner["addr_info"])


@pytest.mark.parametrize(
    "damage",
    [
        ["link", "set", "{card}", "nomaster"],
        ["link", "set", "{card}", "down"],
        ["link", "set", "{card}", "master", "net-b"],
        ["link", "del", "{card}"],
        ["-n", "{namespace}", "link", "set", "{card}", "down"],
        ["-n", "{namespace}", "link", "set", "{card}", "netns", "{pid}"],
    ],
    ids=" ".join,
)
async def test_a_damaged_card_is_repaired(host_rig: Any, damage: list[str]) -> None:
    amphora_id = await created(host_rig)
    port = host_rig.port("net-a")
    await host_rig.compute.attach(amphora_id, port)
    name = cards.card_name(host_rig.instance, port.mac)
    with stray_namespace() as pid:
        words = {"card": name, "namespace": host_rig.namespace(amphora_id), "pid": pid}
        ip(*(word.format(**words) for word in damage))
        if "net-b" not in damage:
            seen = await host_rig.compute.observe(amphora_id)
            assert seen.macs == frozenset(), "what is not whole is not reported as plugged"
        await host_rig.compute.attach(amphora_id, port)
        assert host_rig.cards()[name]["master"] == "net-a"
        assert (await host_rig.compute.observe(amphora_id)).macs == {port.mac}


async def test_a_missing_bridge_may_come_later(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    with pytest.raises(Retryable, match="bridge net-x"):
        await host_rig.compute.attach(amphora_id, host_rig.port("net-x"))


async def test_no_cards_are_left_behind(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    await host_rig.compute.attach(amphora_id, host_rig.port("net-a"))
    assert len(host_rig.cards()) == 2
    await host_rig.compute.delete(amphora_id)
    assert host_rig.cards() == {}


HERE = Path(__file__).parent


def beside_python() -> str:
    """/root, or what lies there beside the Python that runs this."""
    shown = [Path(sys.prefix), Path(sys.base_prefix), HERE.parents[1]]
    if not any(path.is_relative_to("/root") for path in shown):
        return "/root"
    hidden = [p for p in Path("/root").iterdir() if not any(s.is_relative_to(p) for s in shown)]
    return " ".join(map(str, hidden))


async def test_an_amphora_sees_its_own_files_only(host_rig: Any) -> None:
    amphora_id, other = await created(host_rig), await created(host_rig)
    script = f"""
    cat /var/lib/amphora/boot.json
    for secret in {host_rig.home(other)}/own/boot.json {host_rig.home(amphora_id)}/pid \
            {host_rig.state_dir} /etc/shadow /etc/ssl/private {beside_python()} \
            /home {HERE} /sys; do
        [ -e $secret ] && echo LEAK $secret
    done
    ls -A /var/lib /run /tmp"""
    seen = host_rig.inside(amphora_id, script)
    assert amphora_id in seen
    assert other not in seen
    assert "LEAK" not in seen


async def test_state_beneath_what_is_shown_is_hidden(host_rig: Any) -> None:
    if Path(sys.prefix).is_relative_to("/usr"):
        pytest.skip("this Python lives in /usr")
    state = Path(tempfile.mkdtemp(prefix=f"fltest-{os.getpid()}-", dir=sys.prefix))
    try:
        host_rig.state_dir = state
        host_rig.compute = host_rig.restarted()
        (state / "ca.key").write_text("secret")
        amphora_id = await created(host_rig)
        assert host_rig.inside(amphora_id, f"ls -A {state}; ls -d {sys.prefix}").split() == [
            sys.prefix
        ]
        await host_rig.compute.delete(amphora_id)
    finally:
        shutil.rmtree(state)


async def test_an_amphora_cannot_change_the_host(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    attempts = [
        "echo x > /proc/sys/kernel/core_pattern", "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "touch /usr/x", "touch /x", "mount -t tmpfs none /tmp", "mknod /tmp/d b 254 0",
        "unshare --net true", "nsenter -t 1 --mount true", "hostname x",
    ]  # fmt: skip
    script = "\n".join(
        f"( {attempt} ) 2> /dev/null && echo DONE '{attempt}'" for attempt in attempts
    )
    assert host_rig.inside(amphora_id, script) == ""


async def test_what_an_agent_needs_works(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    script = f"""
    {sys.executable} -c 'import fairlead.wire.boot, msgspec, cryptography, pyroute2' || echo python
    haproxy -v > /dev/null || echo haproxy
    ip address add 192.0.2.1/32 dev lo || echo address
    touch /var/lib/amphora/x /tmp/x /run/x || echo write
    {sys.executable} -c 'import socket; socket.create_server(("192.0.2.1", 80))' || echo bind
    {sys.executable} -c 'import os; os.setgid(7); os.setuid(7)' || echo setuid"""
    assert host_rig.inside(amphora_id, script) == ""


async def test_the_environment_of_the_controller_stays_outside(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    names = {line.split("=")[0] for line in host_rig.inside(amphora_id, "env").splitlines()}
    known = {"PATH", "LANG", "PWD", "OLDPWD", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    assert names <= known | {"FAIRLEAD_AMPHORA", "SHLVL", "_"}


async def test_a_dead_agent_comes_back_and_its_daemons_stay(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    daemon = host_rig.inside(amphora_id, "setsid sleep 600 > /dev/null 2>&1 & echo $!").strip()
    run = host_rig.home(amphora_id) / "own" / "run"
    (run / "ask2").write_text("rm ask; kill -9 $PPID")
    (run / "ask2").rename(run / "ask")
    alive = host_rig.inside(amphora_id, f"kill -0 {daemon} && echo alive")
    assert alive.strip() == "alive"


async def test_daemons_that_end_leave_no_zombies(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    host_rig.inside(amphora_id, "for n in 1 2 3; do (setsid true &); done; sleep 0.2")
    states = host_rig.inside(amphora_id, "cat /proc/[0-9]*/stat | sed 's/.*) //' | cut -c1")
    assert "Z" not in states


async def test_keys_are_for_root_only(host_rig: Any) -> None:
    home = host_rig.home(await created(host_rig))
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "own" / "boot.json").stat().st_mode & 0o777 == 0o600
    assert "private-key-text" in (home / "own" / "boot.json").read_text()


async def test_limits_hold(host_rig: Any) -> None:
    amphora_id = await created(host_rig)
    if not host_rig.cgroups(amphora_id):
        pytest.skip("this host offers no cgroup controllers")
    forks = "for i in $(seq 60); do sleep 1 & done; echo all"
    assert "all" not in host_rig.inside(amphora_id, forks).split()
    rig = host_rig
    rig.stop(amphora_id)
    spec = rig.spec()
    await rig.compute.create(spec)
    grow = f"{sys.executable} -c 'b = bytearray(200 << 20)' && echo grown"
    assert "grown" not in rig.inside(spec.boot.amphora_id, grow).split()


async def test_an_amphora_may_bring_limits_of_its_own(host_rig: Any) -> None:
    usual, small = host_rig.spec(), host_rig.spec()
    small = msgspec.structs.replace(small, memory_bytes=48 << 20, cpu_share=0.25)
    for spec in (usual, small):
        await host_rig.compute.create(spec)
    said = {}
    for spec in (usual, small):
        groups = host_rig.cgroups(spec.boot.amphora_id)
        if not groups:
            pytest.skip("this host offers no cgroup controllers")
        files = [f for g in groups for f in g.iterdir() if f.name in LIMITS]
        said[spec.boot.amphora_id] = sorted(f.read_text().split()[0] for f in files)
    assert said[usual.boot.amphora_id] == sorted(["100000", str(64 << 20)])
    assert said[small.boot.amphora_id] == sorted(["25000", str(48 << 20)])


def test_a_sandbox_that_cannot_start_says_why(own_network: None, tmp_path: Path) -> None:
    with pytest.raises(Retryable, match="Unknown option --wrong"):
        sandbox.start(
            ["bwrap", "--wrong"],
            namespace=Path("/proc/self/ns/net"),
            cgroups=[],
            pid_file=tmp_path / "pid",
            log=tmp_path / "log",
        )


async def test_strange_ids_never_become_paths(host_rig: Any) -> None:
    with pytest.raises(Refused, match="amphora id"):
        await host_rig.compute.delete("../../etc")


async def test_half_made_amphorae_are_listed_and_removed(host_rig: Any) -> None:
    spec = host_rig.spec()
    amphora_id = spec.boot.amphora_id
    name = host_rig.namespace(amphora_id)
    Path("/run/netns").mkdir(exist_ok=True)
    makers = [
        lambda: host_rig.home(amphora_id).mkdir(parents=True),
        lambda: Path("/run/netns", name).touch(),
        lambda: ip("netns", "add", name),
    ]
    for make in makers:
        make()
        assert await host_rig.compute.all_ids() == {amphora_id}
        seen = await host_rig.compute.observe(amphora_id)
        assert (seen.running, seen.macs) == (False, frozenset())
        await host_rig.compute.delete(amphora_id)
        assert host_rig.leftovers(amphora_id) == []
        make()
        await host_rig.compute.create(spec)
        assert (await host_rig.compute.observe(amphora_id)).running
        await host_rig.compute.delete(amphora_id)


async def test_installations_do_not_see_each_other(host_rig: Any, tmp_path: Path) -> None:
    amphora_id = await created(host_rig)
    stranger = type(host_rig)(tmp_path / "other")
    assert await stranger.compute.all_ids() == frozenset()
    assert await stranger.compute.observe(amphora_id) is None
    await stranger.compute.delete(amphora_id)
    assert (await host_rig.compute.observe(amphora_id)).running


@pytest.mark.parametrize("attempt", range(10))
async def test_killed_at_any_moment_it_converges(host_rig: Any, attempt: int) -> None:
    spec, port = host_rig.spec(), host_rig.port("net-a")
    amphora_id = spec.boot.amphora_id
    chance = random.Random(attempt)
    child = host_rig.child(spec, port, ["create", "attach", "delete"])
    with child, contextlib.suppress(subprocess.TimeoutExpired):
        try:
            child.wait(timeout=chance.uniform(0.001, 0.12))
        finally:
            child.kill()
    if host_rig.leftovers(amphora_id):
        assert amphora_id in await host_rig.compute.all_ids()
    if attempt % 2:
        await host_rig.compute.create(spec)
        await host_rig.compute.attach(amphora_id, port)
        seen = await host_rig.compute.observe(amphora_id)
        assert (seen.running, seen.macs) == (True, {port.mac})
        assert len(host_rig.processes(amphora_id)) == 2, "bwrap and the init of its PID namespace"
        assert len(host_rig.cards()) == 2
    await host_rig.compute.delete(amphora_id)
    assert host_rig.leftovers(amphora_id) == []
    assert host_rig.cards() == {}


async def test_a_controller_with_mounts_of_its_own(host_rig: Any, elsewhere: str) -> None:
    """`ip netns exec` gives each controller a private mount namespace, which ends with it."""
    spec, port = host_rig.spec(), host_rig.port("net-a")
    amphora_id = spec.boot.amphora_id
    enter = ("ip", "netns", "exec", elsewhere)
    for calls in (["create"], ["create", "attach"], ["create", "attach"]):
        with host_rig.child(spec, port, calls, *enter) as child:
            assert child.wait(timeout=20) == 0
        assert len(host_rig.processes(amphora_id)) == 2
        assert (await host_rig.compute.observe(amphora_id)).running
    assert amphora_id in await host_rig.compute.all_ids()
    await host_rig.compute.delete(amphora_id)
    assert host_rig.leftovers(amphora_id) == []
    assert "veth" not in ip("-n", elsewhere, "-d", "link")


async def test_without_root_it_says_what_to_type(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, pathlib, sys\n"
        "from fairlead.drivers.compute_host import ComputeHost\n"
        "from fairlead.errors import Permanent\n"
        "limits = dict(memory_bytes=1, cpu_share=1, pids=1)\n"
        "compute = ComputeHost(pathlib.Path(sys.argv[1]), 'abcdef', **limits)\n"
        "os.setuid(65534)\n"
        "try: asyncio.run(compute.observe('00000000-0000-0000-0000-000000000007'))\n"
        "except Permanent as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    ).stdout  # fmt: skip
    assert "sudo fairlead serve" in said


def test_cgroups_that_nobody_may_change_are_done_without():
    script = """
from fairlead.drivers.compute_host.cgroups import Cgroups, hierarchies
import subprocess
unified, roots = hierarchies()
for point in {*roots.values(), *([unified] if unified else [])}:
    subprocess.run(["mount", "-o", "remount,bind,ro", str(point)], check=True)
cgroups = Cgroups("abcdef", memory_bytes=1 << 28, cpu_share=1, pids=64)
assert cgroups.ensure("x") == []
assert cgroups.ensure("y") == []
assert not cgroups.ids()
cgroups.remove("x")
"""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cgroup.unavailable") == 1, "said once"
