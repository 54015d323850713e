"""Projects, as far as clients ask for them: where no Keystone is, a project is just its id.

`openstack loadbalancer quota set PROJECT` looks the project up in an identity service, and when
it logs in by a password it takes this service for one. With Keystone, that answers instead.
"""

from collections.abc import Iterator

from litestar import Response
from msgspec import Struct

from fairlead.api.calls import Call
from fairlead.api.faults import json_response
from fairlead.api.operation import Operation
from fairlead.errors import NotFound

_DOMAIN = "default"
_LONGEST = 36


class Project(Struct):
    """A project: its name is its id."""

    id: str
    name: str
    domain_id: str
    enabled: bool
    description: str


class ProjectShown(Struct):
    """One project."""

    project: Project


async def show(call: Call) -> Response[bytes]:
    """The caller's project; for operators any, as projects need not exist before they are used."""
    asked = str(call.request.path_params["project_id"])
    if not call.services.authenticator.own_projects or len(asked) > _LONGEST:
        raise NotFound("Project", asked[:_LONGEST])
    call.allow(asked)
    return json_response({
        "project": {
            "id": asked, "name": asked, "domain_id": _DOMAIN, "enabled": True, "description": "",
        }
    })  # fmt: skip


def operations() -> Iterator[Operation]:
    """Show one."""
    yield Operation(
        method="GET", path="/projects/{project_id}", kind="Project", resource="project",
        rule="get_one", name="get_project", summary="Show a project.", action=show,
        gives=ProjectShown,
        description="For clients that look a project up by its name, which is its id here. Not "
        "where Keystone is: projects are known there.",
    )  # fmt: skip
