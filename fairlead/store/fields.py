"""The API's fields as SQL expressions, to filter and sort by.

Every scalar field of a kind can be asked for, and provisioning_status, operating_status,
loadbalancer_id, the parent's id, and a pool's healthmonitor_id. Lists and objects cannot (tags
have filters of their own; vip_sg_ids, additional_vips, insert_headers, allowed_cidrs,
sni_container_refs, tls_versions, alpn_protocols and session_persistence have none).
The two status expressions equal `domain.status.provisioning` and `operating`; the contract suite
compares them. Called by listing.py.
"""

import types
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import sqlalchemy as sa

from fairlead.domain import status
from fairlead.domain.model import KINDS
from fairlead.domain.types import Access, describe
from fairlead.store.schema import observations, reports, resources, trees

Expression = sa.ColumnElement[Any]
_BESIDE = ("id", "project_id", "name", "admin_state_up", "created_at", "updated_at")
_MONITORS = resources.alias("monitors")

_gone = resources.c.deleted_gen.is_not(None)
_since = sa.case((_gone, resources.c.deleted_gen), else_=resources.c.changed_gen)

PROVISIONING: Expression = sa.case(
    (reports.c.generation >= _since, reports.c.provisioning_status),
    (_since <= trees.c.applied, "ACTIVE"),
    (_since <= trees.c.failed, status.ERROR),
    (_gone, "PENDING_DELETE"),
    (
        sa.and_(resources.c.created_gen > trees.c.applied, reports.c.id.is_(None)),
        "PENDING_CREATE",
    ),
    else_="PENDING_UPDATE",
)


def with_statuses(*columns: Any) -> sa.Select[Any]:
    """A query of resources and of the tables that the two status expressions read."""
    return (
        sa.select(*columns)
        .select_from(resources)
        .join(trees, trees.c.lb_id == resources.c.lb_id)
        .outerjoin(observations, observations.c.id == resources.c.id)
        .outerjoin(reports, reports.c.id == resources.c.id)
    )


def operating(kind: str) -> Expression:
    """The operating status of objects of a kind."""
    return sa.case(
        (~resources.c.admin_state_up, status.OFFLINE),
        (observations.c.operating_status.is_not(None), observations.c.operating_status),
        else_=_unmonitored() if kind == "member" else status.OFFLINE,
    )


def _unmonitored() -> Expression:
    monitored = sa.exists().where(
        _MONITORS.c.parent_id == resources.c.parent_id,
        _MONITORS.c.kind == "healthmonitor",
        _MONITORS.c.deleted_gen.is_(None),
    )
    return sa.case((monitored, status.OFFLINE), else_=status.NO_MONITOR)


def _monitor() -> Expression:
    """The id of a pool's health monitor: the newest one that is not going, as in links.py."""
    return (
        sa.select(_MONITORS.c.id)
        .where(
            _MONITORS.c.parent_id == resources.c.id,
            _MONITORS.c.kind == "healthmonitor",
            _MONITORS.c.deleted_gen.is_(None),
        )
        .order_by(_MONITORS.c.created_gen.desc(), _MONITORS.c.ordinal.desc())
        .limit(1)
        .scalar_subquery()
    )


@cache
def expressions(kind: str) -> Mapping[str, Expression]:
    """Every field of a kind that can be filtered and sorted by."""
    found: dict[str, Expression] = {}
    for name, field in describe(KINDS[kind].type).items():
        scalar = scalar_of(field.type)
        if field.trait.access is Access.HIDDEN or scalar is None:
            continue
        found[name] = resources.c[name] if name in _BESIDE else in_document(resources, name, scalar)
    parent = KINDS[kind].parent_field
    if parent is not None:
        found[parent] = resources.c.parent_id
    found["loadbalancer_id"] = resources.c.lb_id
    found["provisioning_status"] = PROVISIONING
    found["operating_status"] = operating(kind)
    if kind == "pool":
        found["healthmonitor_id"] = _monitor()
    return found


def in_document(table: sa.Table, name: str, scalar: type[Any]) -> Expression:
    """A field of that type in the documents of a table."""
    value = table.c.doc[name]
    as_type = {bool: value.as_boolean, int: value.as_integer, float: value.as_float}
    found: Expression = as_type.get(scalar, value.as_string)()
    return found


def scalar_of(hint: Any) -> type[Any] | None:
    """The plain type of a field's values, None for lists and objects."""
    origin = get_origin(hint)
    if origin is Annotated:
        return scalar_of(get_args(hint)[0])
    if origin is Literal:
        return type(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return scalar_of(next(a for a in get_args(hint) if a is not type(None)))
    return hint if hint in (str, int, float, bool, datetime) else None
