"""The HTTP application, made from the list of operations.

`create_app` is called once by the wiring; uvicorn serves what it returns. Litestar does the
routing, everything else is ours: one handler function per operation, without dependency
injection, so that a request costs little.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from fairlead.api import health_check, network_operations, pages, secrets
from fairlead.api.calls import address_of, admitted, check_acceptable
from fairlead.api.faults import json_response, on_error, on_routing_error, on_unforeseen
from fairlead.api.openapi import document
from fairlead.api.operation import Operation
from fairlead.api.operations import VERSIONS, operations
from fairlead.api.request_ids import stamp
from fairlead.api.services import Services
from fairlead.api.versions import (
    network_version_document,
    secret_version_document,
    version_document,
)
from fairlead.errors import FairleadError

AnyRequest = Request[Any, Any, Any]
_GREETED = [*VERSIONS, *(f"{version}/lbaas" for version in VERSIONS)]


def create_app(services: Services) -> Litestar:
    """The API over these services."""
    with_networks = services.network_admin is not None
    theirs = [network_operations.VERSION] if with_networks else []
    greeted = [path for path in _GREETED if path not in theirs]
    handlers = [_handler(services, operation) for operation in operations()]
    handlers += [
        _open(["/"], lambda request: version_document(request, address_of(services, request))),
        _open(greeted, lambda _request: "v2"),
        _open(
            [secrets.VERSION],
            lambda request: secret_version_document(address_of(services, request)),
        ),
        _open(["/openapi.json"], lambda _request: document(with_networks=with_networks)),
        *pages.handlers(),
    ]
    if services.health_check:
        handlers.append(health_check.handler(services.store.ping))
    if services.network_admin is not None:
        handlers.append(
            _open(
                [network_operations.VERSION],
                lambda request: network_version_document(address_of(services, request)),
            )
        )
        handlers += [_handler(services, one) for one in network_operations.operations()]
    return Litestar(
        route_handlers=handlers,
        exception_handlers={
            FairleadError: on_error(),
            HTTPException: on_routing_error,
            Exception: on_unforeseen,
        },
        before_send=[stamp] if services.audit is None else [stamp, services.audit.see],
        request_max_body_size=services.body_maximum,
        openapi_config=None,
        logging_config=None,
    )


def _handler(services: Services, operation: Operation) -> HTTPRouteHandler:
    return HTTPRouteHandler(
        _paths(operation.path),
        name=operation.name,
        http_method=operation.method,
        status_code=200,  # of answers that set none; all of ours do
        exception_handlers={FairleadError: on_error(operation.fault)},
    )(_admitting(services, operation))


def _admitting(
    services: Services, operation: Operation
) -> Callable[[AnyRequest], Awaitable[Response[bytes]]]:
    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        call = await admitted(
            services, request, operation.kind, operation.resource, operation.rule,
            json=operation.gives is not bytes,
        )  # fmt: skip
        return await operation.action(call)

    return handle


def _open(paths: list[str], content: Callable[[AnyRequest], Any]) -> HTTPRouteHandler:
    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        check_acceptable(request)
        return json_response(content(request))

    return HTTPRouteHandler(paths, http_method="GET", status_code=200)(handle)


def _paths(path: str) -> list[str]:
    """Where an operation answers: below both versions, and with "lbaas" left out.

    The secret store also answers without its version: the OpenStack command line, logged in by a
    password, leaves it out.
    """
    short = path.removeprefix("lbaas/").removeprefix(secrets.VERSION)
    typed = [re.sub(r"\{(\w+)\}", r"{\1:str}", p) for p in dict.fromkeys((path, short))]
    if path.startswith("/"):
        return typed
    return [f"{version}/{p}" for version in VERSIONS for p in typed]
