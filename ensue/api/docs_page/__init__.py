"""/docs: Swagger UI over our own description. Its files come from a package and are served on our own origin."""

from __future__ import annotations

import asyncio
import functools
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from ensue.errors import UnknownUrl

# Nothing from elsewhere, and nothing inline. The style sheet has pictures of its own.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "referrer-policy": "no-referrer", "cache-control": "no-cache"}
MEDIA_TYPES = {
    "docs.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
OWN = ("docs.html", "docs.js")


class DocsEndpoint:
    """The page and its files, read when they are first asked for."""

    async def page(self, _request: Request) -> Response:
        """This description to read, and to try with a key that stays in the page's memory."""
        return await _response("docs.html", "text/html")

    async def file(self, request: Request) -> Response:
        """A script or a style sheet of that page."""
        name = request.path_params["file"]
        if name not in MEDIA_TYPES:
            raise UnknownUrl("There is nothing at this URL.")
        return await _response(name, MEDIA_TYPES[name])


async def _response(name: str, media_type: str) -> Response:
    return Response(await asyncio.to_thread(_read, name), headers=HEADERS, media_type=media_type)


@functools.cache
def _read(name: str) -> bytes:
    package = resources.files(__name__) if name in OWN else resources.files("fastapi_swagger.resources")
    return (package / name).read_bytes()
