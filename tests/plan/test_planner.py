"""The planner: playbooks for the usual stories, and convergence from anywhere."""

import uuid
from datetime import datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from fairlead.domain import edits
from fairlead.domain.model import AdditionalVip, LoadBalancer
from fairlead.domain.observed import Amphora, AmphoraSeen, Instance, World
from fairlead.domain.slots import Slot
from fairlead.domain.tree import Tree
from fairlead.plan.planner import amphora_id, amphora_ids, foreseen, next_wave
from fairlead.plan.steps import ReadSecret, RecordAmphora, Renew
from tests.plan.simulation import NOW, VIP, apply, observed, port, vip_port

LB = "00000000-0000-0000-0000-00000000000a"
NET, SUBNET = "vip-net", "vip-subnet"
AMPHORA, LATER = amphora_id(LB, 0), amphora_id(LB, 0, 1)
MEMBER_SUBNETS = {"subnet-1": "net-1", "subnet-2": "net-2", "subnet-3": NET}


def root() -> LoadBalancer:
    return LoadBalancer(
        id=LB, created_at=NOW, project_id="p", vip_network_id=NET, vip_subnet_id=SUBNET,
        vip_address=VIP,
    )  # fmt: skip


BUILT = World(vip_port=vip_port(Tree(root=root())))
WIDE = {
    "additional_vips": (
        AdditionalVip(subnet_id="subnet-3", ip_address="2001:db8::9", port_id="port-vip"),
    )
}


def with_members(tree: Tree, *subnets: str | None) -> Tree:
    pool = {"loadbalancer_id": LB, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    tree = edits.add("pool", pool, new_id="pool", now=NOW)(tree)
    for number, subnet in enumerate(subnets):
        values = {
            "pool_id": "pool", "address": f"10.1.0.{number + 1}", "protocol_port": 80,
            "subnet_id": subnet,
        }  # fmt: skip
        tree = edits.add("member", values, new_id=f"m{number}", now=NOW)(tree)
    return tree


def run(tree: Tree, world: World, waves: int = 30) -> tuple[Tree, World, list[str]]:
    """Take waves until the planner is content; the transcript of steps, a line a wave."""
    transcript = []
    for _ in range(waves):
        wave = next_wave(tree, observed(tree, world), NOW)
        if not wave:
            return tree, world, transcript
        transcript.append(" ".join(sorted(type(step).__name__ for step in wave)))
        for step in wave:
            tree, world = apply(step, tree, world)
        if tree.deleted and tree.applied == tree.generation:
            return tree, world, transcript
    pytest.fail(f"does not converge: {transcript}")


def test_a_record_tells_the_zone_that_its_load_balancer_is_in() -> None:
    zoned = replace(root(), availability_zone="hall", zone_data={"compute_zone": "rack 1"})
    _, world, _ = run(Tree(root=zoned), BUILT)
    (amphora,) = world.amphorae
    assert amphora.record is not None
    assert amphora.record.cached_zone == "rack 1"


def test_a_new_load_balancer_is_built_in_six_waves() -> None:
    world = BUILT
    tree, world, transcript = run(Tree(root=root()), world)
    assert transcript == [
        "EnsureManagementPort EnsurePort RecordAmphora",
        "Boot",
        "Attach AwaitAgent",
        "Configure",
        "RecordAmphora",
        "Settle",
    ]
    assert tree.applied == tree.generation


def test_a_changed_tree_is_one_configuration() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    tree, world, transcript = run(with_members(tree, None), world)
    assert transcript == ["Configure", "Settle"]


def test_a_member_on_another_subnet_brings_a_card_and_takes_it_along() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    world = replace(world, networks=MEMBER_SUBNETS)
    tree, world, transcript = run(with_members(tree, "subnet-1"), world)
    assert transcript == ["EnsurePort", "Attach", "Configure", "Settle"]
    tree, world, transcript = run(edits.remove("member", "m0")(tree), world)
    assert transcript == ["Configure", "Detach", "ReleasePort", "Settle"]


def test_all_but_a_member_whose_subnet_is_gone_is_done_and_nothing_is_settled() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    world = replace(world, networks=MEMBER_SUBNETS)
    tree = with_members(tree, "subnet-1", "gone")
    transcript = []
    for _ in range(4):
        wave = next_wave(tree, observed(tree, world), NOW)
        transcript.append(" ".join(type(step).__name__ for step in wave))
        if transcript[-1] != "FindSubnet":
            for step in wave:
                tree, world = apply(step, tree, world)
    assert transcript == ["EnsurePort", "Attach", "Configure", "FindSubnet"]
    tree, world, transcript = run(edits.remove("member", "m1")(tree), world)
    assert transcript == ["Configure", "Settle"]


def test_while_a_certificate_lacks_nothing_is_taken_down() -> None:
    """An amphora that serves is not configured then, and keeps the cards it has."""
    tree, world, _ = run(with_members(Tree(root=root()), "subnet-1"), BUILT)
    tree = edits.remove("member", "m0")(tree)
    lacking = replace(world, unread=(("bundle", "https://secrets.test/1"),))
    seen = replace(
        observed(tree, lacking), amphorae=tuple(replace(a, wanted=None) for a in world.amphorae)
    )
    (step,) = next_wave(tree, seen, NOW)
    assert step == ReadSecret(kind="bundle", reference="https://secrets.test/1")
    assert run(tree, lacking)[2] == ["Configure", "ReadSecret", "Detach", "ReleasePort", "Settle"]


def test_additional_vips_are_addresses_of_one_port_and_restored_one_by_one() -> None:
    tree = Tree(root=replace(root(), **WIDE))
    tree, world, transcript = run(tree, World())
    assert transcript[0] == "EnsureManagementPort EnsurePort RecordAmphora RestoreVip"
    front = world.amphorae[0].ports[NET]
    assert [ip.subnet_id for ip in front.fixed_ips] == ["subnet-3", SUBNET]
    assert world.vip_port is not None
    half = replace(world.vip_port, fixed_ips=world.vip_port.fixed_ips[:1])
    _, _, transcript = run(tree, replace(world, vip_port=half))
    assert transcript == ["RestoreVip"]


def test_the_vips_port_gets_its_policy_and_groups_when_they_change() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    changed = {"vip_qos_policy_id": "gold", "vip_sg_ids": ("web", "ssh")}
    tree, world, transcript = run(edits.change("loadbalancer", LB, changed, now=NOW)(tree), world)
    assert transcript == ["RestoreVip", "Configure", "Settle"]
    assert world.vip_port is not None
    assert (world.vip_port.qos_policy_id, world.vip_port.sg_ids) == ("gold", ("web", "ssh"))


def test_deletion_takes_the_machine_first_then_what_it_used() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    tree, world, transcript = run(edits.remove("loadbalancer", LB)(tree), world)
    assert transcript == [
        "Destroy RecordAmphora",
        "ForgetAmphora ReleasePort ReleasePort ReleasePort",
        "Settle",
    ]
    assert world == World()


def test_a_machine_that_died_is_booted_and_configured_again() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    dead = replace(world.amphorae[0].instance, running=False)
    world = replace(
        world,
        amphorae=(replace(world.amphorae[0], instance=dead, reachable=False, revision=None),),
    )
    _, _, transcript = run(tree, world)
    assert transcript == ["RecordAmphora", "Revive", "Configure", "RecordAmphora"]


def test_an_agent_that_went_silent_is_revived_and_what_it_runs_is_left_alone() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    world = replace(world, amphorae=(replace(world.amphorae[0], reachable=False),))
    _, _, transcript = run(tree, world)
    assert transcript == ["RecordAmphora", "Revive", "RecordAmphora"]


def statuses(world: World) -> dict[str, str]:
    return {a.id: a.record.status for a in world.amphorae if a.record is not None}


def test_failover_builds_the_new_amphora_before_it_takes_the_old_one_away() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    tree, world, transcript = run(edits.renew()(tree), world)
    assert transcript == [
        "EnsureManagementPort EnsurePort RecordAmphora",
        "Boot",
        "Attach AwaitAgent",
        "Configure",
        "RecordAmphora",
        "Destroy RecordAmphora",
        "Announce ForgetAmphora ReleasePort ReleasePort",
        "Settle",
    ]
    assert statuses(world) == {amphora_id(LB, 0, 1): "ALLOCATED"}


def test_an_amphora_that_was_dead_is_replaced_and_not_repaired() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    world = replace(world, amphorae=(replace(world.amphorae[0], reachable=False),))
    _, world, transcript = run(edits.renew()(tree), world)
    assert "Revive" not in " ".join(transcript)
    assert statuses(world) == {amphora_id(LB, 0, 1): "ALLOCATED"}


def test_failing_over_again_while_the_new_one_is_made_changes_nothing() -> None:
    tree, _, _ = run(Tree(root=root()), BUILT)
    once = edits.renew()(tree)
    assert edits.renew()(once) is once
    assert edits.renew(0)(once) is once
    again = edits.renew()(replace(once, failed=once.generation))
    assert again.root.slots[0].incarnation == 2, "what was given up on is begun anew"
    new = Tree(root=root())
    assert edits.renew()(new) is new, "the first amphora is being made"


def test_what_was_begun_in_vain_goes_along_with_the_old_one() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    tree = edits.renew()(tree)
    for _ in range(2):
        for step in next_wave(tree, observed(tree, world), NOW):
            tree, world = apply(step, tree, world)
    tree = edits.renew()(replace(tree, failed=tree.generation))
    _, world, transcript = run(tree, world)
    assert statuses(world) == {amphora_id(LB, 0, 2): "ALLOCATED"}
    assert transcript.index("Configure") < transcript.index(
        "Destroy Destroy RecordAmphora RecordAmphora"
    )


def test_several_amphorae_are_replaced_one_after_another() -> None:
    pair = replace(root(), slots=(Slot(), Slot()))
    tree, world, _ = run(Tree(root=pair), BUILT)
    before = set(statuses(world))
    assert before == {amphora_id(LB, 0), amphora_id(LB, 1)}
    tree, least = edits.renew()(tree), 2
    for _ in range(30):
        for step in next_wave(tree, observed(tree, world), NOW):
            tree, world = apply(step, tree, world)
            least = min(least, sum(a.revision is not None for a in world.amphorae))
            assert len(world.amphorae) <= 3
    assert least == 2, "two serve at any time"
    assert set(statuses(world)) == {amphora_id(LB, 0, 1), amphora_id(LB, 1, 1)}
    assert tree.applied == tree.generation


def test_configuring_anew_asks_for_another_revision_of_one_amphora() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    _, _, transcript = run(edits.configure_anew(0)(tree), world)
    assert transcript == ["Configure", "Settle"]


def test_a_new_machine_that_does_not_answer_yet_is_waited_for_before_it_is_booted_again() -> None:
    tree = Tree(root=root())
    world = BUILT
    for _ in range(2):
        for step in next_wave(tree, observed(tree, world), NOW):
            tree, world = apply(step, tree, world)
    plugging = next_wave(tree, observed(tree, world), NOW)
    assert [type(step).__name__ for step in plugging] == ["Attach", "AwaitAgent"]
    tree, world = apply(plugging[0], tree, world)
    retry = next_wave(tree, observed(tree, world), NOW)
    assert [type(step).__name__ for step in retry] == ["Revive"]


def test_what_an_agent_acknowledged_is_foreseen_as_it_will_be_observed() -> None:
    tree, world, _ = run(Tree(root=root()), BUILT)
    tree = with_members(tree, None)
    transcript = []
    known: World | None = observed(tree, world)
    while known is not None and (wave := next_wave(tree, known, NOW)):
        transcript.append([type(step).__name__ for step in wave])
        for step in wave:
            tree, world = apply(step, tree, world)
        known = foreseen(known, wave)
        assert known in (None, observed(tree, world))
    assert transcript == [["Configure"], ["Settle"]]


def some_port(network: str, name: str) -> st.SearchStrategy:
    possible = [s for s, n in {**MEMBER_SUBNETS, SUBNET: NET}.items() if n == network] or ["x"]
    return st.lists(st.sampled_from(possible), unique=True, max_size=3).map(
        lambda subnets: port(f"{name}-{network}", network, tuple(sorted(subnets)))
    )


@st.composite
def amphorae(draw: st.DrawFn, name: str) -> AmphoraSeen:
    networks = draw(st.lists(st.sampled_from([NET, "net-1", "net-2", "net-x"]), unique=True))
    ports = {n: draw(some_port(n, name)) for n in networks}
    record = Amphora(
        id=name, loadbalancer_id=LB, slot=0, role="STANDALONE",
        status=draw(st.sampled_from(["BOOTING", "ALLOCATED", "ERROR", "PENDING_DELETE"])),
        created_at=NOW,
    )  # fmt: skip
    macs = draw(st.sets(st.sampled_from(["mac-odd", *(p.mac for p in ports.values())])))
    instance = Instance(amphora_id=name, running=draw(st.booleans()), macs=frozenset(macs))
    return AmphoraSeen(
        id=name,
        record=draw(st.sampled_from([None, record])),
        instance=draw(st.sampled_from([None, instance])),
        management=draw(st.sampled_from([None, port(f"{name}-mgmt", "mgmt", ("mgmt",))])),
        ports=ports,
        reachable=draw(st.booleans()),
        revision=draw(st.sampled_from([None, "something else"])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    known = [AMPHORA, LATER, str(uuid.UUID(int=7))]
    names = draw(st.lists(st.sampled_from(known), unique=True))
    return World(
        vip_port=draw(st.sampled_from([None, BUILT.vip_port, port("vip", NET, ("subnet-3",))])),
        amphorae=tuple(draw(amphorae(n)) for n in names),
        stray_ports=tuple(draw(st.lists(st.sampled_from([port("s", "n", ("x",))]), max_size=1))),
        networks=draw(st.sampled_from([MEMBER_SUBNETS, {"subnet-1": "net-1"}, {}])),
    )


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    subnets = draw(st.lists(st.sampled_from([None, *MEMBER_SUBNETS]), max_size=4))
    tree = with_members(Tree(root=replace(root(), **draw(st.sampled_from([{}, WIDE])))), *subnets)
    if draw(st.booleans()):
        tree = replace(tree, applied=draw(st.integers(0, tree.generation)))
    if draw(st.booleans()):
        tree = edits.renew()(tree)
    if draw(st.booleans()):
        tree = edits.configure_anew(0)(tree)
    return edits.remove("loadbalancer", LB, cascade=True)(tree) if draw(st.booleans()) else tree


@settings(max_examples=300, deadline=timedelta(seconds=2))
@given(tree=trees(), world=worlds(), data=st.data())
def test_from_any_world_and_with_a_crash_after_any_step_it_converges(
    tree: Tree, world: World, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(0, 3), label="crashes")):
        wave = next_wave(tree, observed(tree, world), NOW)
        done = data.draw(st.integers(0, len(wave)), label="steps before the crash")
        for step in data.draw(st.permutations(wave))[:done]:
            tree, world = apply(step, tree, world)
        if tree.deleted and tree.applied == tree.generation:
            return
    tree, world, _ = run(tree, world)
    world = observed(tree, world)
    assert tree.applied == tree.generation
    if tree.deleted:
        assert world == World(networks=world.networks), "nothing is left behind"
    else:
        assert next_wave(tree, observed(tree, world), NOW) == ()
        assert tuple(a.id for a in world.amphorae) == amphora_ids(tree)
        assert not world.stray_ports


LIFE = BUILT.life
DUE = NOW + LIFE / 3


def served_until(ends: datetime, *, said: datetime | None = None) -> tuple[Tree, World]:
    """A load balancer that is as desired; its amphora's certificate is recorded to end then."""
    tree, world, _ = run(with_members(Tree(root=root()), None), BUILT)
    (seen,) = world.amphorae
    record = replace(seen.record, cert_expiration=ends)
    return tree, replace(world, amphorae=(replace(seen, record=record, not_after=said),))


def test_a_certificate_is_renewed_at_two_thirds_of_its_life() -> None:
    tree, world = served_until(DUE + timedelta(seconds=1))
    assert run(tree, world)[2] == []
    tree, world = served_until(DUE)
    tree, world, transcript = run(tree, world)
    assert transcript == ["RecordAmphora Renew", "RecordAmphora"]
    record = world.amphorae[0].record
    assert (record.cert_expiration, record.cert_busy) == (NOW + LIFE, False)


def test_its_record_says_that_it_is_being_renewed() -> None:
    tree, world = served_until(DUE)
    recorded, renewed = next_wave(tree, observed(tree, world), NOW)
    assert isinstance(recorded, RecordAmphora)
    assert recorded.record.cert_busy
    assert renewed == Renew(amphora_id=AMPHORA, ends=DUE)


def test_the_agents_word_counts_before_the_record() -> None:
    _, world, transcript = run(*served_until(NOW, said=NOW + LIFE))
    assert transcript == ["RecordAmphora"]
    assert world.amphorae[0].record.cert_expiration == NOW + LIFE
    _, _, transcript = run(*served_until(NOW + LIFE, said=DUE))
    assert transcript == ["RecordAmphora Renew", "RecordAmphora"]


def test_renewing_waits_for_nothing_and_holds_nothing_up() -> None:
    tree, world = served_until(DUE)
    wave = next_wave(tree, replace(observed(tree, world), unread=(("bundle", "ref"),)), NOW)
    assert [type(s).__name__ for s in wave] == ["RecordAmphora", "Renew"]
    newer = with_members(Tree(root=tree.root), None, None)
    newer = replace(newer, generation=tree.generation + 1, applied=tree.applied)
    assert [type(s).__name__ for s in next_wave(newer, observed(newer, world), NOW)] == [
        "Configure", "Renew",
    ]  # fmt: skip


def test_what_is_silent_or_goes_is_not_renewed() -> None:
    tree, world = served_until(DUE)
    silent = replace(world.amphorae[0], reachable=False)
    steps_taken = next_wave(tree, observed(tree, replace(world, amphorae=(silent,))), NOW)
    assert not any(isinstance(step, Renew) for step in steps_taken)
    tree = edits.remove("loadbalancer", LB, cascade=True)(tree)
    assert not any(isinstance(s, Renew) for s in next_wave(tree, observed(tree, world), NOW))
