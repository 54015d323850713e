"""Who may do what: Octavia's rule names with its default roles, judged by oslo.policy.

A rule is `os_load-balancer_api:<resource>:<action>`; what an operator's policy file says of it
goes before the defaults below, so a file written for Octavia works here. The file is read again
when it changes. Called through `Call.allow`, once per request or object.
"""

from collections.abc import Iterator
from pathlib import Path

import structlog
from oslo_config import cfg
from oslo_policy import policy as oslo

from fairlead.api.access import Caller
from fairlead.errors import Forbidden, Refused

log = structlog.get_logger()

_READ, _READ_GLOBAL, _WRITE = (
    "load-balancer:read",
    "load-balancer:read-global",
    "load-balancer:write",
)
_READ_QUOTA, _WRITE_QUOTA = "load-balancer:read-quota", "load-balancer:write-quota"
_READ_QUOTA_GLOBAL, _ADMIN = "load-balancer:read-quota-global", "load-balancer:admin"

# What the rules of single operations build on, by the names that policy files know.
_BASIC = {
    "context_is_admin": "role:admin",
    "load-balancer:owner": "project_id:%(project_id)s",
    _ADMIN: "is_admin:True or role:admin",
    "service": "role:service",
    "load-balancer:global_observer": "role:admin",
    "load-balancer:observer_and_owner": "role:reader and rule:load-balancer:owner",
    "load-balancer:member_and_owner": "role:member and rule:load-balancer:owner",
    _READ: "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer"
           " or rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    _READ_GLOBAL: "rule:load-balancer:global_observer or rule:load-balancer:admin",
    _WRITE: "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    _READ_QUOTA: "rule:load-balancer:read",
    _READ_QUOTA_GLOBAL: "rule:load-balancer:read-global",
    _WRITE_QUOTA: "rule:load-balancer:admin",
}  # fmt: skip

_TREE = {
    "get_all": _READ, "get_all-global": _READ_GLOBAL, "get_one": _READ, "post": _WRITE,
    "put": _WRITE, "delete": _WRITE,
}  # fmt: skip
_CATALOG = {"get_all": _READ, "get_one": _READ, "post": _ADMIN, "put": _ADMIN, "delete": _ADMIN}
_PROFILES = dict.fromkeys(_CATALOG, _ADMIN)

# Which basic rule decides, by resource and action.
RULES: dict[str, dict[str, str]] = {
    "loadbalancer": _TREE | {
        "get_stats": _READ, "get_status": _READ, "put_failover": _ADMIN, "get_events": _ADMIN,
        "post:vip_sg_ids": _WRITE, "put:vip_sg_ids": _WRITE,
    },
    "listener": _TREE | {"get_stats": _READ},
    "pool": _TREE,
    "member": _TREE,
    "healthmonitor": _TREE,
    "l7policy": _TREE,
    "l7rule": _TREE,
    "quota": {
        "get_all": _READ_QUOTA, "get_all-global": _READ_QUOTA_GLOBAL, "get_one": _READ_QUOTA,
        "get_defaults": _READ_QUOTA, "put": _WRITE_QUOTA, "delete": _WRITE_QUOTA,
    },
    "amphora": dict.fromkeys(
        ("get_all", "get_one", "get_stats", "put_config", "put_failover", "delete"), _ADMIN
    ),
    "provider": {"get_all": _READ},
    "provider-flavor": {"get_all": _ADMIN},
    "provider-availability-zone": {"get_all": _ADMIN},
    "flavor": _CATALOG,
    "flavor-profile": _PROFILES,
    "availability-zone": _CATALOG,
    "availability-zone-profile": _PROFILES,
    # Fairlead's own: networks of the stand-alone network API, secrets of the local store.
    "network": {"get_all": _READ, "post": _WRITE, "put": _WRITE, "delete": _WRITE,
                "share": _ADMIN, "get_all-global": _READ_GLOBAL},
    "secret": {"get_all": _READ, "get_one": _READ, "post": _WRITE, "put": _WRITE,
               "delete": _WRITE},
}  # fmt: skip

# Where a single operation asks for something else than the rule of its table above.
_SPECIAL = {"member:get_all": f"rule:{_READ} or rule:service"}


def rule_name(resource: str, action: str) -> str:
    """The name of a rule in policy files."""
    return f"os_load-balancer_api:{resource}:{action}"


class Policy:
    """Judges by the defaults and, if there is one, an operator's policy file (YAML or JSON)."""

    def __init__(self, file: Path | None = None) -> None:
        if file is not None and not file.is_file():
            raise Refused(f"The policy file {file} does not exist.")
        configuration = cfg.ConfigOpts()
        configuration([], project="fairlead", default_config_files=[], default_config_dirs=[])
        self._enforcer = oslo.Enforcer(
            configuration, policy_file=str(file or ""), use_conf=file is not None
        )
        self._enforcer.register_defaults(list(_defaults()))
        try:
            self._enforcer.load_rules(force_reload=True)
        except (ValueError, TypeError, AttributeError, oslo.InvalidDefinitionError) as error:
            raise Refused(f"The policy file {file} cannot be read: {error}") from error

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        """Whether the caller may do what the rule is about, to objects of that project."""
        target = {"project_id": project_id, "tenant_id": project_id}
        allowed: bool = self._enforcer.enforce(rule, target, caller.credentials())
        return allowed

    def check(self, caller: Caller, rule: str, project_id: str | None) -> None:
        """`Forbidden` unless allowed."""
        if not self.allows(caller, rule, project_id):
            raise Forbidden


def _defaults() -> Iterator[oslo.RuleDefault]:
    for name, check in _BASIC.items():
        yield oslo.RuleDefault(name, check)
    for resource, actions in RULES.items():
        for action, basic in actions.items():
            check = _SPECIAL.get(f"{resource}:{action}", f"rule:{basic}")
            yield oslo.RuleDefault(rule_name(resource, action), check)
