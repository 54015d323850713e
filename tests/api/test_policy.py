"""Who may do what: roles, scopes, policy files, and files that break."""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import fairlead.api
from fairlead.api.access import Caller, with_implied
from fairlead.api.policy import Policy
from fairlead.api.policy_rules import RULES, rule_name
from fairlead.errors import Refused

ADVANCED = Path(fairlead.api.__file__).parent / "policies" / "advanced.yaml"
EVERYTHING = {f"{resource}:{action}" for resource, actions in RULES.items() for action in actions}
ANYBODYS = {"get_all-global", "put_failover", "get_events", "share"}
CATALOG = {"flavor", "availability-zone", "provider"}
HELD = {"secret:get_payload"}
OPERATORS = {
    "flavor-profile", "availability-zone-profile", "amphora", "provider-flavor",
    "provider-availability-zone",
}  # fmt: skip

# As an operator of Octavia has it, in both of the forms that it reads.
ADMIN_OR_OWNER = """
"context_is_admin": "role:admin or role:load-balancer_admin"
"admin_or_owner": "is_admin:True or project_id:%(project_id)s"
"load-balancer:read": "rule:admin_or_owner"
"load-balancer:read-global": "is_admin:True"
"load-balancer:write": "rule:admin_or_owner"
"load-balancer:read-quota": "rule:admin_or_owner"
"load-balancer:read-quota-global": "is_admin:True"
"load-balancer:write-quota": "is_admin:True"
"os_load-balancer_api:pool:delete": "!"
"os_load-balancer_api:some_later_resource:get_all": "@"
"""
AS_JSON = '{"load-balancer:write": [["role:writer", "rule:load-balancer:owner"], ["role:admin"]]}'


def caller(*roles: str, project: str | None = "p1", **more: Any) -> Caller:
    return Caller(user="mary", project_id=project, roles=frozenset(roles), **more)


def allowed(policy: Policy, who: Caller, project: str | None = "p1") -> set[str]:
    """What the caller may do to objects of that project."""
    names = (rule.split(":", 1) for rule in EVERYTHING)
    return {
        f"{resource}:{action}"
        for resource, action in names
        if policy.allows(who, rule_name(resource, action), project)
    }


def reading(*, own: bool = True, everywhere: bool = False) -> set[str]:
    """What those who only read may do."""
    found = {
        f"{resource}:{action}"
        for resource, actions in RULES.items()
        for action in actions
        if action.startswith("get_") and action not in ANYBODYS and resource not in OPERATORS
    } - HELD
    globally = {f"{resource}:get_all-global" for resource in RULES} & EVERYTHING
    return (found if own else set()) | (globally if everywhere else set())


def writing() -> set[str]:
    """What those who write may do besides; reading what secrets hold is among it."""
    return HELD | {
        f"{resource}:{action}"
        for resource, actions in RULES.items()
        for action in actions
        if action.split(":")[0] in ("post", "put", "delete")
        and resource not in CATALOG | OPERATORS | {"quota"}
    }


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a policy file, each time with another time stamp."""
    ticks = iter(range(1, 1000))

    def write(text: str) -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        at = path.stat().st_mtime + next(ticks)
        os.utime(path, (at, at))
        return path

    return write


@pytest.mark.parametrize(
    ("roles", "own", "foreign"),
    [
        ((), set(), set()),
        (("stranger",), set(), set()),
        (("reader",), reading(), set()),
        (with_implied({"member"}), reading() | writing(), set()),
        (with_implied({"manager"}), reading() | writing(), set()),
        (with_implied({"admin"}), EVERYTHING, EVERYTHING),
        (("service",), {"member:get_all"}, {"member:get_all"}),
        (("load-balancer_admin",), set(), set()),
        (("load-balancer_member", "load-balancer_observer"), set(), set()),
    ],
)
def test_the_default_roles(roles: tuple[str, ...], own: set[str], foreign: set[str]) -> None:
    policy = Policy()
    assert allowed(policy, caller(*roles)) == own
    assert allowed(policy, caller(*roles), "p2") == foreign
    assert allowed(policy, caller(*roles), None) == foreign


QUOTA_ADMIN = {rule for rule in EVERYTHING if rule.startswith("quota:")}
OLD = [
    ("load-balancer_observer", reading(), set()),
    ("load-balancer_member", reading() | writing(), set()),
    ("load-balancer_global_observer", reading(everywhere=True), reading(everywhere=True)),
    ("load-balancer_quota_admin", QUOTA_ADMIN, QUOTA_ADMIN),
    ("load-balancer_admin", EVERYTHING, EVERYTHING),
    ("admin", EVERYTHING, EVERYTHING),
]


@pytest.mark.parametrize(("role", "own", "foreign"), OLD)
@pytest.mark.parametrize("policy", [Policy(ADVANCED), Policy(new_only=False)], ids=["file", "old"])
def test_the_old_roles(policy: Policy, role: str, own: set[str], foreign: set[str]) -> None:
    assert allowed(policy, caller(role)) == own
    assert allowed(policy, caller(role), "p2") == foreign


def test_the_old_roles_stand_beside_the_new_ones_or_replace_them() -> None:
    for role, there, instead in (("member", True, False), ("reader", True, False)):
        can_read = rule_name("pool", "get_one")
        assert Policy(new_only=False).allows(caller("reader", role), can_read, "p1") is there
        assert Policy(ADVANCED).allows(caller("reader", role), can_read, "p1") is instead


@pytest.mark.parametrize(
    "scope", [{"system": True}, {"domain_id": "d1"}, {}], ids=["system", "domain", "none"]
)
def test_scopes(scope: dict[str, Any]) -> None:
    admin = caller("admin", "member", "reader", project=None, **scope)
    member = caller("member", "reader", project=None, **scope)
    expected = set() if scope else EVERYTHING
    assert allowed(Policy(), admin) == expected
    assert allowed(Policy(scoped=False), admin) == EVERYTHING
    for policy in (Policy(), Policy(scoped=False)):
        assert allowed(policy, member) == set()
        assert allowed(policy, member, None) == set(), "without a project one owns nothing"


def test_a_file_written_for_octavia(written: Callable[..., Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy = Policy(written(ADMIN_OR_OWNER))
    owner = allowed(policy, caller())
    assert owner == (reading() | writing()) - {"pool:delete"}
    assert allowed(policy, caller(), "p2") == set()
    for role in ("admin", "load-balancer_admin"):
        found = allowed(policy, caller(role), "p2")
        assert "pool:delete" not in found
        assert reading(everywhere=True) | {"quota:put", "listener:put"} <= found
    noauth = caller(everything=True)
    assert allowed(policy, noauth, "p2") == EVERYTHING - {"pool:delete"}


def test_a_file_in_the_oldest_form(written: Callable[..., Path]) -> None:
    policy = Policy(written(AS_JSON))
    post = rule_name("listener", "post")
    assert policy.allows(caller("writer"), post, "p1")
    assert not policy.allows(caller("writer"), post, "p2")
    assert not policy.allows(caller("member"), post, "p1")


BROKEN = [
    ("load-balancer:read: [", "while parsing"),
    ("- load-balancer:read", "it should be names with rules"),
    ("load-balancer:read: 7", "rule 'load-balancer:read' should be text"),
    ("load-balancer:read: role:admin or (", "rule 'load-balancer:read' cannot be read"),
    ("load-balancer:read: admin", "rule 'load-balancer:read' cannot be read"),
    ("load-balancer:read: not rule:typo", "refers to 'typo', which is not defined"),
    ("load-balancer:read: rule:load-balancer:read", "refers to itself"),
    ("a: rule:b\nb: role:x or not rule:a", "refers to itself"),
    ("load-balancer:owner: project_id:%(project_id", "cannot be judged"),
    ("load-balancer:read: http://127.0.0.1/may", "asks another service"),
    ("a: \x00", "special characters"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_broken_file_is_refused_at_the_start(
    written: Callable[..., Path], capfd: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    path = written(text)
    with pytest.raises(Refused) as refusal:
        Policy(path)
    assert str(refusal.value).startswith(f"The policy file {path}: ")
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file"):
        Policy(tmp_path / "policy.yaml")


def test_a_changed_file_is_in_force_at_once(written: Callable[..., Path]) -> None:
    path = written("load-balancer:read: '!'")
    policy, rule = Policy(path), rule_name("pool", "get_all")
    assert not policy.allows(caller("reader"), rule, "p1")
    written("{}")
    assert policy.allows(caller("reader"), rule, "p1")
    written("os_load-balancer_api:pool:get_all: role:auditor")
    assert not policy.allows(caller("reader"), rule, "p1")


def test_a_file_that_breaks_leaves_the_last_good_one_in_force(
    written: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = written("load-balancer:read: role:auditor")
    policy, rule = Policy(path), rule_name("pool", "get_all")
    for text, _ in BROKEN:
        written(text)
        with capture_logs() as logs:
            for _ in range(3):
                assert policy.allows(caller("auditor"), rule, "p2")
                assert not policy.allows(caller("reader"), rule, "p1")
        assert [entry["log_level"] for entry in logs] == ["error"]
    path.unlink()
    with capture_logs() as logs:
        assert policy.allows(caller("auditor"), rule, "p2")
        assert not policy.allows(caller("reader"), rule, "p1")
    assert [entry["log_level"] for entry in logs] == ["error"]
    written("load-balancer:read: role:reader")
    assert policy.allows(caller("reader"), rule, "p1")
    assert capfd.readouterr().err == ""
    assert not logging.getLogger("oslo_policy").propagate


def test_verdicts_are_remembered_in_bounds() -> None:
    policy, rule = Policy(), rule_name("pool", "get_all")
    for number in range(10_500):
        assert policy.allows(caller("reader", project=f"p{number}"), rule, f"p{number}")
    assert len(policy._verdicts) <= 10_000
