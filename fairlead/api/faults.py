"""Errors as answers.

Two shapes exist, as with Octavia: errors of the core (`FairleadError`) become API faults,
`{"faultcode", "faultstring", "debuginfo"}`; what fails while a request is routed (unknown path,
405, 406, a missing parent in the path, a malformed limit) is a Litestar `HTTPException` and
becomes `{"code", "title", "description"}`. Whatever nobody foresaw is logged with its traceback
and answered with a text that says nothing of the inside.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from fairlead import errors
from fairlead.api.request_ids import request_id

log = structlog.get_logger()

STATUS_OF: dict[type[errors.FairleadError], int] = {
    errors.Refused: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.QuotaMet: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Unsupported: 501,
    errors.Retryable: 503,
}
INTERNAL = "The service failed in a way it did not expect; its log tells more."

AnyRequest = Request[Any, Any, Any]
FaultShape = Callable[[int, Exception], dict[str, Any]]


def json_response(content: Any, status: int = 200, **headers: str) -> Response[bytes]:
    """An answer with a JSON body."""
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        media_type="application/json",
        headers=headers or None,
    )


def status_of(error: errors.FairleadError) -> int:
    """The HTTP status of an error, by its nearest ancestor in the table; 500 otherwise."""
    return next((STATUS_OF[c] for c in type(error).__mro__ if c in STATUS_OF), 500)


def api_fault(status: int, error: Exception) -> dict[str, Any]:
    """Octavia's own shape."""
    side = "Server" if status >= 500 else "Client"
    return {"faultcode": side, "faultstring": str(error), "debuginfo": None}


def routing_fault(status: int, detail: str) -> dict[str, Any]:
    """The shape of what fails before a resource is reached."""
    title = HTTPStatus(status).phrase
    return {"code": status, "title": title, "description": detail or title}


def unauthorized_fault(text: str) -> dict[str, Any]:
    """The shape of 401, which clients know from token middleware."""
    return {"error": {"code": 401, "title": "Unauthorized", "message": text}}


def on_error(shape: FaultShape = api_fault) -> Callable[[AnyRequest, Any], Response[bytes]]:
    """The handler of `FairleadError` that answers in that shape (401 has one of its own)."""

    def handle(request: AnyRequest, error: errors.FairleadError) -> Response[bytes]:
        status = status_of(error)
        if isinstance(error, errors.Unauthorized):
            return _unauthorized(error)
        if status >= 500 and not isinstance(error, errors.Unsupported):
            log.error("request failed", request_id=request_id(request.scope), error=str(error))
        after = getattr(error, "after", None)
        headers = {"Retry-After": str(max(1, round(after)))} if after else {}
        return json_response(shape(status, error), status, **headers)

    return handle


def on_routing_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Unknown paths, methods and the like."""
    status = error.status_code
    if status >= 500:
        return on_unforeseen(request, error)
    allow = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
    return json_response(routing_fault(status, error.detail), status, **allow)


def on_unforeseen(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A defect, or a broken surrounding: everything to the log, nothing to the user."""
    log.error(
        "request failed unexpectedly",
        request_id=request_id(request.scope),
        method=request.scope["method"],
        path=request.scope["path"],
        exc_info=error,
    )
    return json_response(api_fault(500, RuntimeError(INTERNAL)), 500)


def _unauthorized(error: errors.Unauthorized) -> Response[bytes]:
    return json_response(
        unauthorized_fault(str(error)), 401, **{"WWW-Authenticate": error.challenge}
    )
