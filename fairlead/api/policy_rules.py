"""The rules of who may do what, as tables: Octavia's names with its default roles.

A rule of an operation is `os_load-balancer_api:<resource>:<action>` and points to one of the basic
rules, which name roles. `OLD_ROLES` are the roles that were Octavia's own before the basic rules
took Keystone's default roles. policy.py judges by this.
"""

_READ, _READ_GLOBAL, _WRITE = (
    "load-balancer:read",
    "load-balancer:read-global",
    "load-balancer:write",
)
_READ_QUOTA, _WRITE_QUOTA = "load-balancer:read-quota", "load-balancer:write-quota"
_READ_QUOTA_GLOBAL, _ADMIN = "load-balancer:read-quota-global", "load-balancer:admin"

CONTEXT_IS_ADMIN = "context_is_admin"
"""Decides whether `is_admin:True` holds in other rules."""

# What the rules of single operations build on, by the names that policy files know.
BASIC = {
    CONTEXT_IS_ADMIN: "role:admin",
    "project-member": "role:member and project_id:%(project_id)s",
    "project-reader": "role:reader and project_id:%(project_id)s",
    "service": "role:service",
    "load-balancer:owner": "project_id:%(project_id)s",
    _ADMIN: "is_admin:True or role:admin",
    "load-balancer:global_observer": "role:admin",
    "load-balancer:quota-admin": "role:admin",
    "load-balancer:observer_and_owner": "rule:project-reader",
    "load-balancer:member_and_owner": "rule:project-member",
    _READ: "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer"
           " or rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    _READ_GLOBAL: "rule:load-balancer:global_observer or rule:load-balancer:admin",
    _WRITE: "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    _READ_QUOTA: "rule:load-balancer:read or rule:load-balancer:quota-admin",
    _READ_QUOTA_GLOBAL: "rule:load-balancer:read-global or rule:load-balancer:quota-admin",
    _WRITE_QUOTA: "rule:load-balancer:quota-admin or rule:load-balancer:admin",
}  # fmt: skip

# What counts beside the basic rule of that name, when the old roles are let in, too.
OLD_ROLES = {
    CONTEXT_IS_ADMIN: "role:load-balancer_admin",
    _ADMIN: "role:load-balancer_admin",
    "load-balancer:global_observer": "role:load-balancer_global_observer",
    "load-balancer:quota-admin": "role:load-balancer_quota_admin",
    "load-balancer:observer_and_owner":
        "role:load-balancer_observer and rule:load-balancer:owner",
    "load-balancer:member_and_owner":
        "role:load-balancer_member and rule:load-balancer:owner",
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
    "project": {"get_one": _READ},
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
    "secret": {"get_all": _READ, "get_one": _READ, "get_payload": _WRITE, "post": _WRITE,
               "put": _WRITE, "delete": _WRITE},
}  # fmt: skip

# Where a single operation asks for something else than the rule of its table above.
_SPECIAL = {"member:get_all": f"rule:{_READ} or rule:service"}


def rule_name(resource: str, action: str) -> str:
    """The name of an operation's rule in policy files."""
    return f"os_load-balancer_api:{resource}:{action}"


def defaults(*, new_only: bool) -> dict[str, str]:
    """Every rule as it is without a policy file; with the old roles beside the new ones or not."""
    rules = dict(BASIC)
    if not new_only:
        rules |= {name: f"({BASIC[name]}) or ({old})" for name, old in OLD_ROLES.items()}
    for resource, actions in RULES.items():
        for action, basic in actions.items():
            special = _SPECIAL.get(f"{resource}:{action}")
            rules[rule_name(resource, action)] = special or f"rule:{basic}"
    return rules
