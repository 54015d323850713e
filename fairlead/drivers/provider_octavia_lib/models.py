"""Objects of a tree as octavia-lib's data models.

Attributes that both call by the same name are copied; `_WITH_CHILDREN` has the rest. What was not
given is Unset. Certificates behind references are data in the models: `references` names them, and
whoever asks for a model brings what they lead to. Called by calls.py and door.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from octavia_lib.api.drivers import data_models
from octavia_lib.api.drivers.data_models import Unset

from fairlead.domain.model import KINDS, L7Policy, Listener, LoadBalancer, Pool, Resource
from fairlead.domain.tree import Tree, parent_id
from fairlead.plan.telling import changed_fields

Secrets = Mapping[str, Any]
"""What references lead to: a dict for a certificate with its key, a text for authorities."""

MODELS: dict[str, Callable[[], Any]] = {
    "loadbalancer": data_models.LoadBalancer,
    "listener": data_models.Listener,
    "pool": data_models.Pool,
    "member": data_models.Member,
    "healthmonitor": data_models.HealthMonitor,
    "l7policy": data_models.L7Policy,
    "l7rule": data_models.L7Rule,
}
# References, with the attributes for what they lead to; the first ones lead to a key, too.
BUNDLES = {
    "default_tls_container_ref": "default_tls_container_data",
    "sni_container_refs": "sni_container_data",
    "tls_container_ref": "tls_container_data",
}
TEXTS = {
    "client_ca_tls_container_ref": "client_ca_tls_container_data",
    "client_crl_container_ref": "client_crl_container_data",
    "ca_tls_container_ref": "ca_tls_container_data",
    "crl_container_ref": "crl_container_data",
}
_REFERENCES = {**BUNDLES, **TEXTS}
# What the catalog's items mean, which is all that drivers are told of them.
_MEANINGS = {"flavor_data": "flavor", "zone_data": "availability_zone"}


def references(tree: Tree, resource: Resource) -> Iterator[tuple[str, bool]]:
    """References of an object and of all that its model holds; whether each leads to a key."""
    yield from references_of(resource, _REFERENCES)
    for below in _held(tree, resource):
        yield from references(tree, below)


def references_of(resource: Resource, names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Those among an object's own fields of these names."""
    for name in names:
        value = getattr(resource, name, None) if name in _REFERENCES else None
        for one in value if isinstance(value, tuple) else (value,) if value else ():
            yield one, name in BUNDLES


def complete(tree: Tree, resource: Resource, secrets: Secrets) -> Any:
    """The model of an object, with all that hangs below it."""
    fields = {name: getattr(resource, name) for name in resource.__struct_fields__}
    given = {name: value for name, value in fields.items() if value is not None}
    below = _WITH_CHILDREN.get(type(resource))
    return _model(resource, given, secrets, below(tree, resource, secrets) if below else {})


def changed(before: Resource, after: Resource, secrets: Secrets) -> Any:
    """The model of an update: who it is about, and what changed."""
    return _model(after, changed_fields(before, after), secrets, {})


def _model(
    resource: Resource, given: Mapping[str, Any], secrets: Secrets, children: Mapping[str, Any]
) -> Any:
    model = MODELS[resource.KIND]()
    values: dict[str, Any] = {name: _plain(value) for name, value in given.items()}
    values |= {_REFERENCES[name]: _behind(value, secrets)
               for name, value in given.items() if name in _REFERENCES}  # fmt: skip
    for name, meaning in _MEANINGS.items():
        if name in given:
            values[meaning] = dict(given[name]) or Unset
    values |= _names(resource) | dict(children)
    for name, value in values.items():
        if hasattr(model, name):
            setattr(model, name, value)
    return model


def _names(resource: Resource) -> dict[str, Any]:
    """Who it is: its own id, its parent's, its project's."""
    names: dict[str, Any] = {f"{resource.KIND}_id": resource.id, "project_id": resource.project_id}
    field = KINDS[resource.KIND].parent_field
    return names if field is None else names | {field: parent_id(resource)}


def _behind(value: Any, secrets: Secrets) -> Any:
    """What references lead to; Unset where it could not be had."""
    if isinstance(value, tuple):
        return [secrets[one] for one in value if one in secrets]
    return secrets.get(value, Unset) if value else None


def _held(tree: Tree, resource: Resource) -> Iterator[Resource]:
    """Objects that are part of an object's model."""
    if isinstance(resource, LoadBalancer):
        yield from (*tree.listeners, *tree.pools)
    elif isinstance(resource, Listener):
        yield from (pool for pool in tree.pools if pool.id == resource.default_pool_id)


def _load_balancer(tree: Tree, root: Resource, secrets: Secrets) -> dict[str, Any]:
    return {
        "listeners": [complete(tree, one, secrets) for one in tree.listeners],
        "pools": [complete(tree, one, secrets) for one in tree.pools],
    }


def _listener(tree: Tree, one: Resource, secrets: Secrets) -> dict[str, Any]:
    found: dict[str, Any] = {
        "l7policies": [complete(tree, policy, secrets) for policy in tree.policies_of(one.id)]
    }
    pool = tree.objects.get(getattr(one, "default_pool_id", None) or "")
    if pool is not None:
        found["default_pool"] = complete(tree, pool, secrets)
    return found


def _pool(tree: Tree, pool: Resource, secrets: Secrets) -> dict[str, Any]:
    found: dict[str, Any] = {
        "members": [complete(tree, member, secrets) for member in tree.members(pool.id)]
    }
    monitor = tree.monitors.get(pool.id)
    if monitor is not None:
        found["healthmonitor"] = complete(tree, monitor, secrets)
    for listener in tree.listeners_using(pool.id):
        if listener.default_pool_id == pool.id:
            found.setdefault("listener_id", listener.id)
    return found


def _policy(tree: Tree, policy: Resource, secrets: Secrets) -> dict[str, Any]:
    return {"rules": [complete(tree, rule, secrets) for rule in tree.rules(policy.id)]}


_WITH_CHILDREN: dict[type[Resource], Callable[[Tree, Any, Secrets], dict[str, Any]]] = {
    LoadBalancer: _load_balancer,
    Listener: _listener,
    Pool: _pool,
    L7Policy: _policy,
}


def _plain(value: Any) -> Any:
    """Lists and dicts, as the models have them."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return {k: v for k, v in msgspec.to_builtins(value).items() if v is not None}
    return dict(value) if isinstance(value, Mapping) else value
