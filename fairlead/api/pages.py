"""The page at /docs that shows the OpenAPI document to people.

Files of our own, served as they are and without credentials; the page asks for /openapi.json and
nothing else, and its Content-Security-Policy allows no more. All its links are relative, so it
also works behind a proxy that serves Fairlead below a path.
"""

from importlib.resources import files
from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

_PLACE = files("fairlead") / "web" / "docs"
# Where each file is served, and what it is.
_FILES = {
    "/docs": ("index.html", "text/html"),
    "/docs/page.css": ("page.css", "text/css"),
    "/docs/page.js": ("page.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
                               "connect-src 'self'; img-src data:; base-uri 'none'; "
                               "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}  # fmt: skip


def handlers() -> list[HTTPRouteHandler]:
    """A route for each file."""
    return [_handler(path, name, media) for path, (name, media) in _FILES.items()]


def _handler(path: str, name: str, media: str) -> HTTPRouteHandler:
    content = (_PLACE / name).read_bytes()

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        if request.scope["raw_path"].endswith(b"/"):
            return Response(b"", status_code=308, headers={"Location": "../docs"})
        return Response(content, media_type=media, status_code=200, headers=_HEADERS)

    return HTTPRouteHandler([path], http_method="GET", status_code=200)(handle)
