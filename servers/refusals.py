"""How a request is refused: always with an error object, in the shape that OpenAI's clients know.

    {"error": {"message", "type", "param", "code"}}

Also when it is no HTTP at all, when it expects what there is not, or when a handler fails: aiohttp itself would answer
these in plain text.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import HttpVersion11, web

from servers.parameters import ParameterError
from streams.arguments import shown

__all__ = ("Handler", "Protocol", "Refusal", "errors_as_json", "expectation")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refusal(web.HTTPException):
    """Answers with an error object.

    Args:
        status: the status of the answer.
        message: what is wrong, for people.
        kind: the same for programs.
        param: the parameter that is at fault, or None.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = status
        super().__init__(text=_object(message, kind, param), content_type="application/json", headers=headers)


def _object(message: str, kind: str, param: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": kind}})


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every refusal its error object: our own, and those of aiohttp's router and body reader."""
    try:
        return await handler(request)
    except ParameterError as error:
        raise Refusal(400, str(error), "invalid_request_error", param=error.param) from None
    except web.RequestPayloadError:
        message = "body cannot be read: it is not what Content-Encoding and Transfer-Encoding say"
        raise Refusal(400, message, "invalid_request_error", param="body") from None
    except web.HTTPException as error:
        if error.content_type == "application/json" or error.status < 400:
            raise
        headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        raise Refusal(error.status, error.reason, error.reason.lower().replace(" ", "_"), headers=headers) from None


async def expectation(request: web.Request) -> None:
    """Meet what the header Expect asks for.

    Raises:
        Refusal: 417; it is not 100-continue.

    Source: RFC 9110, section 10.1.1, which has HTTP/1.0 ignored.
    """
    if request.version < HttpVersion11:
        return
    expected = request.headers.get("Expect", "")
    if expected.lower() != "100-continue":
        raise Refusal(417, f"Expect must be 100-continue; got {shown(expected)}", "expectation_failed", param="Expect")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun


class Protocol(web.RequestHandler):
    """A connection. What no handler answers gets an error object: what is no HTTP, and the defect of a handler."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with an error object, and close the connection. Only a defect is logged, with its traceback.

        Raises:
            ConnectionError: an answer has begun already, or there is nobody to answer; the connection is closed.
        """
        if isinstance(exc, ConnectionError) and self.transport is None:
            raise exc
        if status < 500:
            # aiohttp's message shows below its first line what it read, and where in it the mistake is.
            said = (message or "").partition("\n")[0].rstrip(" :")[:200]
            text = _object(f"the request is no HTTP/1.1: {said}", "invalid_request_error")
        else:
            super().handle_error(request, status, exc, message)
            text = _object("the server failed", "internal_error")
        headers = {"X-Stream-Id": secrets.token_hex(6)}
        response = web.Response(status=status, text=text, content_type="application/json", headers=headers)
        response.force_close()
        return response
