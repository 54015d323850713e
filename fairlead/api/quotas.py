"""Quotas: how many objects of each kind a project may have.

Set and reset by operators; the store keeps to them when it stores an edit. The project "defaults"
has the defaults, which some clients ask for by that name.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from litestar import Response
from msgspec import UNSET, UnsetType, defstruct

from fairlead.api import answers, selection
from fairlead.api.calls import Call
from fairlead.api.faults import json_response
from fairlead.api.openapi_schemas import Link
from fairlead.api.operation import Operation
from fairlead.domain import bodies
from fairlead.domain.bodies import refused
from fairlead.domain.quota import ALIASES, ProjectQuota, Quota
from fairlead.domain.types import describe
from fairlead.errors import NotFound

_DEFAULTS = "defaults"
_LONGEST = 36


async def show_list(call: Call) -> Response[bytes]:
    """One page of the projects that have limits of their own."""
    query = selection.query_of(call, None, selection.project_of(call))
    page = await call.services.quotas.list(query)
    fields = call.parameters.many("fields")
    return json_response({
        "quotas": [answers.selected(_shown(one) | _owner(one), fields) for one in page],
        "quotas_links": selection.links_of(call, query, page),
    })  # fmt: skip


async def show(call: Call) -> Response[bytes]:
    """The limits of a project."""
    call.allow(_project(call))
    quotas, project_id = call.services.quotas, _project(call)
    found = quotas.defaults(_DEFAULTS) if project_id == _DEFAULTS else await quotas.of(project_id)
    return _answer(call, found)


async def show_defaults(call: Call) -> Response[bytes]:
    """What a project has that has no limits of its own."""
    call.allow(_project(call))
    return _answer(call, call.services.quotas.defaults(_project(call)))


async def update(call: Call) -> Response[bytes]:
    """Set limits; null restores a default: 202 with the whole quota."""
    call.allow(_project(call))
    given = await call.body("quota")
    values = bodies.changes("quota", _canonical(given) if isinstance(given, dict) else given)
    limits = {kind: None if _canonical(given)[kind] is None else values[kind] for kind in values}
    found = await call.services.quotas.put(_settable(call), limits)
    return _answer(call, found, 202)


async def reset(call: Call) -> Response[bytes]:
    """Give a project the defaults: 202."""
    call.allow(_project(call))
    await call.services.quotas.reset(_settable(call))
    return Response(b"", status_code=202)


def _project(call: Call) -> str:
    return str(call.request.path_params["project_id"])


def _settable(call: Call) -> str:
    """A project that can have limits of its own."""
    project_id = _project(call)
    if project_id == _DEFAULTS or len(project_id) > _LONGEST:
        raise NotFound("Quota", project_id[:100])
    return project_id


def _canonical(given: dict[str, Any]) -> dict[str, Any]:
    """The body with one name for each limit; those that contradict each other are refused."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        kind = ALIASES.get(name, name)
        if kind in found and found[kind] != value:
            raise refused(name, value, f"It should be the same as {kind}.")
        found[kind] = value
    return found


def _shown(quota: ProjectQuota) -> dict[str, Any]:
    limits = {kind: getattr(quota, kind) for kind in Quota.__struct_fields__}
    return limits | {alias: limits[kind] for alias, kind in ALIASES.items()}


def _owner(quota: ProjectQuota) -> dict[str, Any]:
    return {"project_id": quota.project_id, "tenant_id": quota.project_id}


def _answer(call: Call, quota: ProjectQuota, status: int = 200) -> Response[bytes]:
    fields = call.parameters.many("fields")
    return json_response({"quota": answers.selected(_shown(quota), fields)}, status)


@cache
def _types() -> tuple[type[msgspec.Struct], ...]:
    """The bodies of a change, of one quota, and of a list, from the declaration."""
    fields = describe(Quota)
    named = {**{k: k for k in fields}, **ALIASES}
    taken = [(n, fields[k].type | None | UnsetType, UNSET) for n, k in named.items()]
    limits = [(name, fields[kind].type) for name, kind in named.items()]
    change = defstruct("QuotaUpdate", taken, kw_only=True, forbid_unknown_fields=True)
    shown = defstruct("Quota", limits)
    of_project = defstruct("ProjectQuota", [*limits, ("project_id", str), ("tenant_id", str)])
    return (
        defstruct("QuotaUpdateBody", [("quota", change)]),
        defstruct("QuotaBody", [("quota", shown)]),
        defstruct("QuotaList", [("quotas", list[of_project]), ("quotas_links", list[Link])]),  # type: ignore[valid-type] # made at run time
    )


def operations() -> Iterator[Operation]:
    """Reading, setting, resetting."""
    one = "lbaas/quotas/{project_id}"
    changed, shown, listed = _types()
    paging = {
        "project_id": "Only that project's.", "limit": "Most objects to answer with.",
        "marker": "Project of the last quota of the page before.", "fields": "Only these keys.",
    }  # fmt: skip
    yield Operation(
        method="GET", path="lbaas/quotas", kind="quota", resource="quota", rule="get_all",
        name="list_quotas", summary="List the Quotas of projects that have their own.",
        action=show_list, gives=listed, query=paging,
    )  # fmt: skip
    yield Operation(
        method="GET", path=one, kind="quota", resource="quota", rule="get_one",
        name="get_quota", action=show, gives=shown,
        summary='Show the Quota of a project, or of "defaults".',
    )  # fmt: skip
    yield Operation(
        method="GET", path=f"{one}/default", kind="quota", resource="quota",
        rule="get_defaults", name="get_quota_defaults", action=show_defaults, gives=shown,
        summary="Show the Quota of a project that has none of its own.",
    )  # fmt: skip
    yield Operation(
        method="PUT", path=one, kind="quota", resource="quota", rule="put",
        name="update_quota", summary="Set limits of a project; null restores a default.",
        action=update, status=202, takes=changed, gives=shown,
    )  # fmt: skip
    yield Operation(
        method="DELETE", path=one, kind="quota", resource="quota", rule="delete",
        name="delete_quota", summary="Give a project the default limits.",
        action=reset, status=202,
    )  # fmt: skip
