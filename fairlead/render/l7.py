"""L7 policies as rules of a frontend.

PURE. The first policy, by position, whose rules all match decides. haproxy runs every
http-request rule before any use_backend, so a policy that chooses a pool notes it in a
variable at its place in the order; the policies after it apply only while nothing is noted.
"""

from collections.abc import Iterable

from fairlead.domain.model import L7Policy, L7Rule, Listener, Pool
from fairlead.domain.tree import Tree
from fairlead.render.quoting import fetch, location, word

_CHOSEN = "chosen"
_MATCH = {
    "EQUAL_TO": "str", "STARTS_WITH": "beg", "ENDS_WITH": "end", "CONTAINS": "sub",
    "REGEX": "reg",
}  # fmt: skip
# What follows the last dot of the last segment of the path; empty when there is none.
_FILE_TYPE = word('path,regsub("^.*/[^./]*$",""),regsub("^.*[.]","")')
_HOST_WITHOUT_PORT = word('req.fhdr(host),regsub(":[0-9]*$","")')


def lines(tree: Tree, listener: Listener) -> list[str]:
    """The frontend's lines for all policies in service; nothing for a listener without any."""
    found: list[str] = []
    targets: list[str] = []
    for policy in tree.policies_of(listener.id):
        rules = [rule for rule in tree.rules(policy.id) if rule.admin_state_up]
        if not policy.admin_state_up or not rules or not _has_target(tree, policy):
            continue
        for rule in rules:
            found += _acl(rule)
        found.append(f"{_action(policy)} if {_condition(rules, after_pools=bool(targets))}")
        if policy.redirect_pool_id and policy.redirect_pool_id not in targets:
            targets.append(policy.redirect_pool_id)
    if targets:
        found.insert(0, f"acl {_CHOSEN} var(txn.pool) -m found")
    for pool_id in targets:
        found.append(f"use_backend {pool_id}:{listener.id} if {{ var(txn.pool) -m str {pool_id} }}")
    return found


def pools(tree: Tree, listener: Listener) -> tuple[Pool, ...]:
    """The pools in service that the listener sends to, the default pool first."""
    wanted = [listener.default_pool_id]
    wanted += [
        policy.redirect_pool_id for policy in tree.policies_of(listener.id) if policy.admin_state_up
    ]
    live = {pool.id: pool for pool in tree.pools if pool.admin_state_up}
    return tuple(live[i] for i in dict.fromkeys(wanted) if i is not None and i in live)


def _has_target(tree: Tree, policy: L7Policy) -> bool:
    """A policy whose pool is switched off is passed over."""
    if policy.redirect_pool_id is None:
        return True
    return any(p.id == policy.redirect_pool_id and p.admin_state_up for p in tree.pools)


def _condition(rules: Iterable[L7Rule], *, after_pools: bool) -> str:
    guard = [f"!{_CHOSEN}"] if after_pools else []
    return " ".join([*guard, *(f"{'!' if rule.invert else ''}{rule.id}" for rule in rules)])


def _action(policy: L7Policy) -> str:
    match policy.action:
        case "REDIRECT_TO_POOL":
            return f"http-request set-var(txn.pool) str({policy.redirect_pool_id})"
        case "REDIRECT_TO_URL":
            target = location(policy.redirect_url or "")
            return f"http-request redirect location {target} code {policy.redirect_http_code}"
        case "REDIRECT_PREFIX":
            target = location(policy.redirect_prefix or "")
            return f"http-request redirect prefix {target} code {policy.redirect_http_code}"
        case "REJECT":
            return "http-request deny deny_status 403"


def _acl(rule: L7Rule) -> list[str]:
    """The condition of one rule, named by its id; lines of one name are alternatives.

    A header may hold one value or a list: both the whole and each element may match. A host
    matches with and without its port, in any case of letters.
    """
    how = f"-m {_MATCH[rule.compare_type]}"
    value, flags = rule.value, "--"
    match rule.type:
        case "HOST_NAME":
            samples, flags = ["req.fhdr(host)", _HOST_WITHOUT_PORT], "-i --"
        case "PATH":
            samples = ["path"]
        case "FILE_TYPE" if rule.compare_type == "REGEX":
            samples = [_FILE_TYPE]
        case "FILE_TYPE":
            samples, how, value = ["path"], "-m end", "." + value.removeprefix(".")
        case "HEADER":
            samples = [fetch(method, rule.key or "") for method in ("req.hdr", "req.fhdr")]
        case "COOKIE":
            samples = [fetch("req.cook", rule.key or "")]
        case "SSL_DN_FIELD":
            samples = [fetch("ssl_c_s_dn", rule.key or "")]
        case "SSL_CONN_HAS_CERT":
            return [f"acl {rule.id} ssl_c_used"]
        case "SSL_VERIFY_RESULT":
            return [f"acl {rule.id} ssl_c_verify {int(rule.value)}"]
    return [f"acl {rule.id} {sample} {how} {flags} {word(value)}" for sample in samples]
