"""The page and its parts: the files of one folder, by name, with the headers that keep them to themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from aiohttp import web

from servers.refusals import Refusal
from streams.arguments import shown

__all__ = ("Pages",)

_FOLDER: Final = Path(__file__).parent / "page"
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Kept, but asked about each time: the modules of two versions of the page do not go together.
    "Cache-Control": "no-cache",
}


class Pages:
    """The files that there were when this was made."""

    def __init__(self) -> None:
        # Looked up in here a name leads to no other folder, however it is written.
        self._files = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _TYPES}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """GET / and GET /page/{name}."""
        path = self._files.get(request.match_info.get("name", "index.html"))
        if path is None:
            raise Refusal(404, f"there is no page {shown(request.path, str)}", "not_found")
        body = path.read_bytes()
        etag = hashlib.blake2b(body, digest_size=8).hexdigest()
        if any(known.value in {"*", etag} for known in request.if_none_match or ()):
            response = web.Response(status=304, headers=_HEADERS)
        else:
            response = web.Response(body=body, content_type=_TYPES[path.suffix], charset="utf-8", headers=_HEADERS)
        response.etag = etag
        return response
