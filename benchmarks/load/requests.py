"""The bytes of a request, and the head of an answer: as much of HTTP/1.1 as a load client needs. No I/O.

Every request asks for the connection to be closed behind the answer, and for no compression: what is measured is one
stream, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from benchmarks.load.plan import LoadOrder
from benchmarks.scenarios.cells import Transport
from benchmarks.traces.captures import Outcome
from benchmarks.traces.framing import MalformedError, body_of

__all__ = ("MAX_HEAD_BYTES", "Head", "Request", "error_detail", "parse_head", "request_of", "wrong_answer")

MAX_HEAD_BYTES: Final = 64 * 1024

_ACCEPT: Final = {"ndjson": "application/x-ndjson", "text": "text/plain"}
_EVENT_STREAM: Final = "text/event-stream"
_CONTENT_TYPES: Final = {
    "ndjson": ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json"),
    "text": ("text/plain",),
}
_DEFAULT_PORTS: Final = {False: 80, True: 443}
_WEBSOCKET_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OK: Final = 200
_SWITCHING: Final = 101
_MAX_DETAIL: Final = 300


class Request(NamedTuple):
    """What is written first.

    Attributes:
        data: the bytes.
        accept: what the server has to answer to a WebSocket's key; "" for any other request.
    """

    data: bytes
    accept: str


def request_of(order: LoadOrder) -> Request:
    """Return the request of an order; a WebSocket's has a new key each time."""
    headers = {
        "host": _host(order),
        "user-agent": "tokenweir-benchmarks",
        "accept": _ACCEPT.get(order.profile, _EVENT_STREAM),
        "accept-encoding": "identity",
        "connection": "close",
    }
    accept = ""
    if order.transport is Transport.WEBSOCKET:
        key = base64.b64encode(os.urandom(16))
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest()).decode()
        headers |= {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        headers["sec-websocket-key"] = key.decode()
    if order.body is not None:
        headers |= {"content-type": "application/json", "content-length": str(len(order.body))}
    headers |= {name.lower(): value for name, value in order.headers.items()}
    lines = [f"{order.method} {order.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return Request("\r\n".join([*lines, "", ""]).encode("latin-1") + (order.body or b""), accept)


def _host(order: LoadOrder) -> str:
    try:
        is_v6 = ipaddress.ip_address(order.host).version == 6
    except ValueError:
        is_v6 = False
    host = f"[{order.host}]" if is_v6 else order.host.encode("idna").decode()
    return host if order.port == _DEFAULT_PORTS[order.tls] else f"{host}:{order.port}"


class Head(NamedTuple):
    """The head of an answer.

    Attributes:
        status: its number.
        reason: its words; often none.
        headers: names in lower case; the values of one name are joined by commas.
        size: how many bytes it took, from the beginning of the data that it was found in.
    """

    status: int
    reason: str
    headers: dict[str, str]
    size: int


def parse_head(data: bytes) -> Head | None:
    """Return the head that `data` begins with, past informational ones (100, 103); None: it has not come whole.

    Raises:
        MalformedError: it is no HTTP/1 answer, or has no end within 64 KiB.
    """
    at = 0
    while True:
        if data[at : at + 7] != b"HTTP/1."[: len(data) - at]:
            raise MalformedError(f"the answer is no HTTP/1: {data[at : at + 40]!r}")
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > MAX_HEAD_BYTES:
                raise MalformedError("the answer's head has more than 64 KiB")
            return None
        head = _head(data[at:end].decode("latin-1"), end + 4)
        if head.status >= _OK or head.status == _SWITCHING:
            return head
        at = end + 4


def _head(text: str, size: int) -> Head:
    status_line, *lines = text.split("\r\n")
    status, _, reason = status_line.partition(" ")[2].partition(" ")
    if not (status.isascii() and status.isdigit() and len(status) == 3):
        raise MalformedError(f"the answer's first line is {status_line[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedError(f"a header of the answer is {line[:80]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(int(status), reason.strip(), headers, size)


def wrong_answer(head: Head, order: LoadOrder, accept: str) -> tuple[Outcome, str] | None:
    """Say why no stream follows a head, and in which words; None: one does."""
    web_socket = order.transport is Transport.WEBSOCKET
    if head.status != (_SWITCHING if web_socket else _OK):
        return Outcome.REFUSED, f"{head.status} {head.reason}".strip()
    if web_socket:
        if head.headers.get("sec-websocket-accept") != accept:
            return Outcome.NOT_A_STREAM, "the WebSocket's key was not answered"
        return None
    content_type = head.headers.get("content-type", "")
    accepted = _CONTENT_TYPES.get(order.profile, (_EVENT_STREAM,))
    if content_type.partition(";")[0].strip().lower() not in accepted:
        return Outcome.NOT_A_STREAM, f"{content_type or 'no content type'}, not {accepted[0]}"
    return None


def error_detail(detail: str, headers: Mapping[str, str], pieces: list[bytes]) -> str:
    """Return `detail` with the beginning of the body, which mostly says more."""
    try:
        body = body_of(headers)
        content = b"".join([body.feed(piece) for piece in pieces])
    except MalformedError:
        content = b"".join(pieces)
    words = " ".join(content.decode(errors="replace").split())
    if len(words) > _MAX_DETAIL:
        words = f"{words[: _MAX_DETAIL - 3]}..."
    return f"{detail}: {words}" if words else detail
