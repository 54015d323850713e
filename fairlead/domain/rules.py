"""Rules across fields and across objects.

PURE. `adjusted` completes an object from what was said (defaults that depend on other fields),
`check` refuses a tree that breaks a rule, `check_removal` a removal. The compatibility tables
are in protocols.py. Called by edits.py and planting.py on every version of a tree.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fairlead.domain import protocols, tls
from fairlead.domain.bodies import refused, settable
from fairlead.domain.model import (
    KINDS,
    HealthMonitor,
    L7Policy,
    L7Rule,
    Listener,
    LoadBalancer,
    Member,
    Pool,
    Resource,
)
from fairlead.domain.rule_values import check_rule
from fairlead.domain.tls import TlsPolicy
from fairlead.domain.tree import Tree
from fairlead.errors import Conflict, Refused, Unsupported

replace = msgspec.structs.replace
# What holds where a deployment says nothing.
POLICY = TlsPolicy()
_RESERVED_ADDRESSES = frozenset({"169.254.169.254"})
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def updated(before: Resource, values: Mapping[str, Any]) -> Resource:
    """The object with creation values; `Refused` where it has another one that cannot change."""
    fields = settable(before.KIND, at_creation=False)
    for name, value in values.items():
        if name not in fields and value != getattr(before, name):
            word = KINDS[before.KIND].word
            raise refused(
                name, value,
                f"{word} {before.id} has '{getattr(before, name)}', which cannot be changed: "
                f"delete the {word} and add it again.",
            )  # fmt: skip
    return replace(before, **{name: v for name, v in values.items() if name in fields})


def adjusted(resource: Resource, given: Mapping[str, Any], policy: TlsPolicy = POLICY) -> Resource:
    """The object with defaults that depend on its other fields.

    `given` is what was said: for a new object without what was null.
    """
    if isinstance(resource, Listener | Pool):
        return tls.adjusted(resource, given, policy)
    if isinstance(resource, L7Policy):
        return _with_one_target(resource, given)
    if isinstance(resource, HealthMonitor):
        if resource.type in protocols.HTTP_MONITORS:
            missing = {
                name: value
                for name, value in protocols.HTTP_MONITOR_DEFAULTS.items()
                if getattr(resource, name) is None
            }
            return replace(resource, **missing)
        named = next((n for n in protocols.HTTP_MONITOR_DEFAULTS if n in given), None)
        if named:
            raise Refused(
                f"Validation failure: {named} is not a valid option for health monitors of "
                f"type {resource.type}."
            )
    return resource


def _with_one_target(policy: L7Policy, given: Mapping[str, Any]) -> L7Policy:
    """A target that was given implies its action and clears the other targets."""
    named = [t for t in protocols.ACTION_OF_TARGET if given.get(t) is not None]
    if len(named) > 1:
        raise Refused(f"Validation failure: {' and '.join(named)} cannot be given together.")
    action = protocols.ACTION_OF_TARGET[named[0]] if named else policy.action
    targets = {
        target: getattr(policy, target) if implied == action else None
        for target, implied in protocols.ACTION_OF_TARGET.items()
    }
    code = policy.redirect_http_code
    if action in protocols.REDIRECT_CODE_ACTIONS:
        code = code or 302
    elif given.get("redirect_http_code"):
        raise refused("redirect_http_code", code, f"It does not go with action {action}.")
    else:
        code = None
    for target, implied in protocols.ACTION_OF_TARGET.items():
        if implied == action and targets[target] is None:
            raise refused(target, None, f"Action {action} needs it.")
    return replace(policy, action=action, redirect_http_code=code, **targets)


def check(tree: Tree, changed: Iterable[Resource]) -> None:
    """Refuse the tree when one of the changed objects breaks a rule, or a new one is too many."""
    changed = list(changed)
    if any(one.created_gen == tree.generation for one in changed):
        check_size(sum(o.deleted_gen is None for o in tree.objects.values()))
    for one in changed:
        current = tree.root if one.id == tree.id else tree.objects[one.id]
        for name, why in protocols.NOT_FOUND.get(one.KIND, {}).items():
            _keeps_default(current, name, why)
        if one.KIND in _CHECKS:
            _CHECKS[one.KIND](tree, current)
        if tree.own:
            _supported(tree, current)


def check_size(objects: int) -> None:
    """Refuse more objects than a load balancer may have, itself not counted."""
    if objects > protocols.MAX_OBJECTS:
        raise Refused(
            f"Validation failure: A Load Balancer may have at most {protocols.MAX_OBJECTS} "
            "objects (listeners, pools, members, health monitors, L7 policies and rules together)."
        )


def _supported(tree: Tree, resource: Resource) -> None:
    for name, possible in protocols.SUPPORTED_VALUES[resource.KIND].items():
        value = getattr(resource, name)
        if value not in possible:
            word = KINDS[resource.KIND].word.lower()
            raise Unsupported(tree.root.provider, f"{word} {name} '{value}'")


def _keeps_default(resource: Resource, name: str, why: str) -> None:
    value = getattr(resource, name)
    if value != settable(resource.KIND, at_creation=True)[name].default:
        raise refused(name, value, why)


def _balancer(tree: Tree, root: LoadBalancer) -> None:
    if len(set(root.vip_subnet_ids)) < len(root.vip_subnet_ids):
        raise Refused(
            "Validation failure: Duplicate VIP subnet(s) specified in additional_vips. Only one "
            "IP can be bound per subnet."
        )
    for vip in root.additional_vips:
        if vip.port_id not in (None, root.vip_port_id):
            raise refused("additional_vips.port_id", vip.port_id,
                          "All addresses are on one port, vip_port_id.")  # fmt: skip
    if root.vip_sg_ids:
        for listener in tree.listeners:
            _either_groups_or_cidrs(tree, listener)


def _either_groups_or_cidrs(tree: Tree, listener: Listener) -> None:
    if tree.root.vip_sg_ids and listener.allowed_cidrs:
        raise Refused(
            "Validation failure: Allowed CIDRs are not allowed when using custom VIP Security "
            f"Groups (vip_sg_ids): Listener {listener.id} has allowed_cidrs."
        )


def _listener(tree: Tree, listener: Listener) -> None:
    transport = protocols.TRANSPORT.get(listener.protocol, "TCP")
    for other in tree.listeners_at(listener.protocol_port):
        same = protocols.TRANSPORT.get(other.protocol, "TCP") == transport
        if other.id != listener.id and same:
            raise Conflict(
                f"Another Listener on this Load Balancer is already using protocol_port "
                f"{listener.protocol_port} with {transport}: {other.id}."
            )
    if listener.default_pool_id is not None:
        _fits(tree.find(Pool, listener.default_pool_id), listener)
    tls.check_listener(listener)
    _insert_headers(listener)
    _allowed_cidrs(tree, listener)


def _insert_headers(listener: Listener) -> None:
    if listener.insert_headers and listener.protocol not in protocols.L7_LISTENERS:
        raise refused(
            "insert_headers", sorted(listener.insert_headers),
            f"A {listener.protocol} listener cannot insert headers.",
        )  # fmt: skip
    known = protocols.INSERT_HEADERS
    if tls.capable(listener):
        known |= protocols.TLS_HEADERS
    for name, value in listener.insert_headers.items():
        if name not in known:
            allowed = ", ".join(sorted(known))
            raise refused("insert_headers", name, f"Value should be one of: {allowed}.")
        if value.lower() not in ("true", "false"):
            raise refused("insert_headers", value, f"{name} should be 'true' or 'false'.")


def _allowed_cidrs(tree: Tree, listener: Listener) -> None:
    _either_groups_or_cidrs(tree, listener)
    vips = tree.root.vip_addresses
    versions = {ipaddress.ip_address(vip).version for vip in vips}
    for cidr in listener.allowed_cidrs if vips else ():
        if ipaddress.ip_network(cidr).version not in versions:
            raise Refused(
                f"Validation failure: CIDR {cidr} of allowed_cidrs is not of the VIP's "
                f"IP version ({', '.join(vips)})."
            )


def _fits(pool: Pool, listener: Listener) -> None:
    if pool.protocol not in protocols.POOLS_OF_LISTENER[listener.protocol]:
        raise Refused(
            f"Validation failure: The pool protocol '{pool.protocol}' is invalid while the "
            f"listener protocol is '{listener.protocol}'."
        )


def _pool(tree: Tree, pool: Pool) -> None:
    for listener in tree.listeners_using(pool.id):
        _fits(pool, listener)
    tls.check_pool(pool)
    persistence = pool.session_persistence
    if persistence is None:
        return
    if persistence.type is None:
        raise refused("session_persistence.type", None, "Mandatory field missing.")
    if pool.protocol not in protocols.PERSISTENCE_POOLS[persistence.type]:
        raise refused("session_persistence.type", persistence.type,
                      f"It does not go with pools of protocol {pool.protocol}.")  # fmt: skip
    datagrams = persistence.type == "SOURCE_IP" and pool.protocol in protocols.TRANSPORT
    for name in ("persistence_timeout", "persistence_granularity"):
        if getattr(persistence, name) is not None and not datagrams:
            raise refused(f"session_persistence.{name}", getattr(persistence, name),
                          "It is for type SOURCE_IP on UDP and SCTP pools only.")  # fmt: skip
    if persistence.persistence_granularity is not None:
        _netmask(persistence.persistence_granularity)
    cookie = persistence.cookie_name
    if persistence.type == "APP_COOKIE":
        if not cookie or not _COOKIE_NAME.fullmatch(cookie):
            raise refused("session_persistence.cookie_name", cookie,
                          "APP_COOKIE needs the name of a cookie, without separators.")  # fmt: skip
    elif cookie is not None:
        raise refused("session_persistence.cookie_name", cookie,
                      f"It does not go with type {persistence.type}.")  # fmt: skip


def _netmask(value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise refused("session_persistence.persistence_granularity", value,
                      "Value should be IPv4 or IPv6 format.") from None  # fmt: skip


def _member(tree: Tree, member: Member) -> None:
    for name in ("address", "monitor_address"):
        address = getattr(member, name)
        if address and _reserved(address):
            raise refused(name, address, "The address is reserved.")
    if len(tree.members_at(member.pool_id, member.address, member.protocol_port)) > 1:
        raise Conflict(
            f"Another member on pool {member.pool_id} is already using ip "
            f"{member.address} on protocol_port {member.protocol_port}."
        )


def _reserved(address: str) -> bool:
    """Whether it is no server's: an unspecified or loopback one would be the amphora itself."""
    parsed = ipaddress.ip_address(address)
    itself = parsed.is_unspecified or parsed.is_loopback
    return itself or parsed.is_multicast or address in _RESERVED_ADDRESSES


def _monitor(tree: Tree, monitor: HealthMonitor) -> None:
    pool = tree.find(Pool, monitor.pool_id)
    if any(isinstance(o, HealthMonitor) and o.id != monitor.id for o in tree.children_of(pool)):
        raise Conflict(f"Pool {pool.id} already has a health monitor.")
    if monitor.type not in protocols.MONITORS_OF_POOL[pool.protocol]:
        raise Refused(
            f"Validation failure: A health monitor of type {monitor.type} is invalid while "
            f"the pool protocol is '{pool.protocol}'."
        )
    if monitor.type == "UDP-CONNECT" and monitor.delay < protocols.UDP_CONNECT_DELAY:
        raise refused("delay", monitor.delay, f"A monitor of type UDP-CONNECT needs "
                      f"{protocols.UDP_CONNECT_DELAY} or more.")  # fmt: skip
    if monitor.domain_name and monitor.http_version != 1.1:
        raise refused("domain_name", monitor.domain_name, "It needs http_version 1.1.")


def _policy(tree: Tree, policy: L7Policy) -> None:
    listener = tree.find(Listener, policy.listener_id)
    if listener.protocol == "PROMETHEUS":
        raise Refused("Validation failure: A PROMETHEUS listener cannot have L7 policies.")
    if policy.redirect_pool_id is not None:
        _fits(tree.find(Pool, policy.redirect_pool_id), listener)
    if tree.own and listener.protocol not in protocols.L7_LISTENERS:
        raise Unsupported(
            tree.root.provider, f"L7 policies on listeners of protocol {listener.protocol}"
        )


def _rule(tree: Tree, rule: L7Rule) -> None:
    policy = tree.find(L7Policy, rule.l7policy_id)
    if len(tree.rules(policy.id)) > protocols.MAX_RULES:
        raise Conflict(f"Too many rules have been added to L7Policy {policy.id}: at most "
                       f"{protocols.MAX_RULES}.")  # fmt: skip
    check_rule(rule)


def check_removal(tree: Tree, going: Resource, *, cascade: bool) -> None:
    """Refuse a removal that would leave something dangling."""
    if isinstance(going, LoadBalancer) and not cascade and tree.children_of(going):
        raise Refused(
            f"Validation failure: Cannot delete Load Balancer {going.id} - it has children"
        )
    if isinstance(going, Pool):
        user = next((p for p in tree.policies if p.redirect_pool_id == going.id), None)
        if user is not None:
            raise Conflict(f"Pool {going.id} is in use by L7 policy {user.id}")


_CHECKS: dict[str, Any] = {
    "loadbalancer": _balancer,
    "listener": _listener,
    "pool": _pool,
    "member": _member,
    "healthmonitor": _monitor,
    "l7policy": _policy,
    "l7rule": _rule,
}
