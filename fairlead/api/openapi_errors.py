"""How operations fail: statuses, shapes and an example of each, for the OpenAPI document.

PURE. Examples are made by the functions that make the answers (faults.py). Which failures an
operation has follows from what it is: whether it has a body, a path with ids, a query. What an
area adds stands in `Operation.errors`. Called by openapi.py.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from fairlead import errors
from fairlead.api import faults
from fairlead.api.networks import neutron_fault
from fairlead.api.openapi_samples import object_id
from fairlead.api.operation import Operation
from fairlead.domain.bodies import refused
from fairlead.domain.model import KINDS

Json = dict[str, Any]


class Fault(Struct):
    """What is wrong with the request, or the service; `faultcode` is "Client" or "Server"."""

    faultcode: str
    faultstring: str
    debuginfo: None


class RoutingFault(Struct):
    """The request did not reach a resource."""

    code: int
    title: str
    description: str


class NetworkFaultBody(Struct):
    """What is wrong, by kind and in words."""

    type: str
    message: str
    detail: str


class NetworkFault(Struct):
    """An error of the network API."""

    NeutronError: NetworkFaultBody


class UnauthenticatedBody(Struct):
    """As clients of an identity service know it."""

    code: int
    title: str
    message: str


class Unauthenticated(Struct):
    """No valid credentials came with the request."""

    error: UnauthenticatedBody


class Failure(Struct, frozen=True, kw_only=True):
    """One way to fail: its status, what it means, and examples with their shapes."""

    status: int
    meaning: str
    examples: tuple[tuple[type[Struct], Any], ...]


def _api(*raised: errors.FairleadError) -> tuple[tuple[type[Struct], Any], ...]:
    return tuple((Fault, faults.api_fault(faults.status_of(e), e)) for e in raised)


def _routing(status: int, detail: str) -> tuple[tuple[type[Struct], Any], ...]:
    return ((RoutingFault, faults.routing_fault(status, detail)),)


_UNKNOWN = object_id("nobody")
_RULE = refused("protocol_port", 65536, "Expected `int` <= 65535.")
_LIMIT = _routing(400, "limit should be an integer")
_TWICE = _api(errors.Refused("One or more arguments are either duplicate or invalid: name"))
_GONE = _api(errors.NotFound("Load Balancer", _UNKNOWN))
_AMPHORA = "amphora"

# By the name of the component in the document.
FAILURES: dict[str, Failure] = {
    "BadRequest": Failure(status=400, meaning="The request breaks a rule.", examples=_api(_RULE)),
    "BadList": Failure(
        status=400, meaning="A filter, a sort key, the marker or the limit is wrong.",
        examples=(*_TWICE, *_LIMIT),
    ),
    "BadLimit": Failure(
        status=400, meaning="The limit is no number, or given twice.", examples=(*_LIMIT, *_TWICE)
    ),
    "Unauthorized": Failure(
        status=401, meaning="No valid credentials came with the request.",
        examples=((Unauthenticated, faults.unauthorized_fault("Authentication is required.")),),
    ),
    "Forbidden": Failure(
        status=403, meaning="The caller's roles do not allow it, or a quota is met.",
        examples=_api(errors.Forbidden(), errors.QuotaMet("Load Balancer")),
    ),
    "NotFound": Failure(status=404, meaning="No such object.", examples=_GONE),
    "NotFoundBelow": Failure(
        status=404, meaning="No such object, or what the path hangs it below does not exist.",
        examples=(*_api(errors.NotFound("Member", _UNKNOWN)),
                  *_routing(404, str(errors.NotFound("Pool", _UNKNOWN)))),
    ),
    "NotAcceptable": Failure(
        status=406, meaning="The client does not accept JSON.",
        examples=_routing(406, "Only application/json is available."),
    ),
    "Conflict": Failure(
        status=409, meaning="It contradicts what exists: a duplicate, or an object in use.",
        examples=_api(errors.Conflict("Another Listener on this Load Balancer already uses "
                                      "protocol port 80.")),
    ),
    "TooLarge": Failure(
        status=413, meaning="The body is too large.",
        examples=_routing(413, "Request Entity Too Large"),
    ),
    "NotJson": Failure(
        status=415, meaning="The body is not JSON.",
        examples=_routing(415, "Unknown mimetype: text/plain"),
    ),
    "ProviderFailed": Failure(
        status=500, meaning="The driver of the load balancer's provider failed.",
        examples=_api(errors.Broken("example", "It has no room left.")),
    ),
    "Unsupported": Failure(
        status=501, meaning="The load balancer's provider cannot do this; nothing was stored.",
        examples=_api(errors.Unsupported(_AMPHORA, "SCTP listeners")),
    ),
    "Unavailable": Failure(
        status=503, meaning="A part of the service does not answer; try again.",
        examples=_api(errors.Retryable("The database does not answer.")),
    ),
    "NetworkError": Failure(
        status=0, meaning="An error in Neutron's shape.",
        examples=((NetworkFault, {"NeutronError": {
            "type": "NetworkNotFound", "message": f"Network {_UNKNOWN} not found.", "detail": "",
        }}),),
    ),
}  # fmt: skip
# Those of areas that answer all errors in the shape of routing ones.
FAILURES |= {
    f"Plain{name}": Failure(
        status=FAILURES[name].status,
        meaning=meaning,
        examples=_routing(FAILURES[name].status, detail),
    )
    for name, meaning, detail in (
        ("BadRequest", "The request breaks a rule.", "'payload' must not be empty."),
        ("BadList", "A filter or the page is wrong.", "'bits' should be a number."),
        ("Forbidden", "The caller's roles do not allow it, or a quota is met.",
         str(errors.Forbidden())),
        ("NotFound", "No such object.", str(errors.NotFound("Secret", _UNKNOWN))),
        ("Conflict", "It contradicts what exists.", "Secret already has data, cannot modify it."),
        ("Unavailable", "A part of the service does not answer; try again.",
         "The database does not answer."),
    )
}  # fmt: skip
_WRITES = ("Conflict", "ProviderFailed", "Unsupported")
_OF_PROVIDERS = frozenset({"ProviderFailed", "Unsupported"})
_NESTED = frozenset({"member", "l7rule"})


def failures_of(operation: Operation) -> list[str]:
    """Names of the failures that an operation has, by status."""
    names: Iterable[str] = _names(operation)
    if operation.fault is not faults.api_fault:
        plain = {name: f"Plain{name}" for name in names if name not in _OF_PROVIDERS}
        names = [made if made in FAILURES else name for name, made in plain.items()]
    return sorted(names, key=lambda name: FAILURES[name].status)


def _names(operation: Operation) -> Iterator[str]:
    of_tree = operation.kind in KINDS
    if operation.fault is neutron_fault:
        yield from ("NetworkError", "Unauthorized", "NotAcceptable")
        yield from ("TooLarge", "NotJson") if operation.takes else ()
        return
    yield from ("Unauthorized", "Forbidden", "NotAcceptable", "Unavailable", *operation.errors)
    if operation.gives == "list" or "limit" in operation.query:
        yield "BadList"
    elif operation.gives == "events":
        yield "BadLimit"
    elif operation.takes or operation.flag or operation.query or not of_tree:
        yield "BadRequest"
    if operation.takes:
        yield from ("TooLarge", "NotJson")
    if operation.kind in _NESTED:
        yield "NotFoundBelow"
    elif "{" in operation.path or operation.takes:
        yield "NotFound"
    if operation.method != "GET":
        yield from _WRITES
