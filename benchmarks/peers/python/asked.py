"""What all Python peers share: the query, the schedule, the JSON payload, and the way to run."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from servers.kinds import Flag, Integer, Kind, Number
from streams.arguments import shown

__all__ = ("END", "END_FIELDS", "Asked", "WrongQueryError", "frame", "listen", "run")

END_FIELDS: Final[Mapping[str, object]] = {"ended": True, "message": ""}
"""What the last event says."""

END: Final = json.dumps(END_FIELDS)
"""The payload of the last event."""

_KINDS: Final[Mapping[str, Kind]] = {
    "count": Integer(0),
    "rate": Number("tokens per second", 0.001, 1e9),
    "trace": Flag(),
    "hang_after": Integer(0),
}


class WrongQueryError(ValueError):
    """A parameter has a value that is not accepted; each peer answers it with 400."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name} must be {_KINDS[name].accepted}; got {shown(text)}")

    @property
    def body(self) -> bytes:
        """The JSON of the answer."""
        return json.dumps({"error": {"message": str(self), "type": "invalid_request_error"}}).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks for.

    Attributes:
        count: how many tokens.
        rate: tokens per second, on an absolute schedule that is caught up with; 0: as fast as possible.
        trace: put the index, the due time and the time of emission into each payload.
        hang_after: stay silent for ever after so many tokens; None: end.
        start_ns: when the schedule began.
    """

    count: int = 10
    rate: float = 0
    trace: bool = False
    hang_after: int | None = None
    start_ns: int = field(default_factory=time.monotonic_ns)

    @staticmethod
    def of_query(query: Mapping[str, str]) -> Asked:
        """Read the parameters that our own server has, too, and pass over others.

        Raises:
            WrongQueryError: naming the parameter, what is accepted, and the value.
        """
        return Asked(**{name: _value(name, query[name]) for name in _KINDS if name in query})

    @property
    def indexes(self) -> range:
        """The tokens before the end or the silence."""
        return range(self.count if self.hang_after is None else min(self.count, self.hang_after))

    async def due(self, index: int) -> int:
        """Wait until token `index` is due, and return that time. One sleep per token, as everybody writes it."""
        due_ns = self.start_ns + round(index * 1e9 / self.rate)
        ahead_ns = due_ns - time.monotonic_ns()
        if ahead_ns > 0:
            await asyncio.sleep(ahead_ns / 1e9)
        return due_ns

    def fields(self, index: int, due_ns: int | None) -> dict[str, Any]:
        """Return what one token's payload says. `due_ns` None: it was due when it was emitted."""
        fields: dict[str, Any] = {"ended": False, "message": str(index)}
        if self.trace:
            emitted_ns = time.monotonic_ns()
            fields["seq"] = index
            fields["due_ns"] = emitted_ns if due_ns is None else due_ns
            fields["emitted_ns"] = emitted_ns
        return fields

    def payload(self, index: int, due_ns: int | None) -> str:
        """Encode one token with the standard library, as users of these stacks do."""
        return json.dumps(self.fields(index, due_ns))

    async def hang(self) -> None:
        """Wait for ever, if that was asked for."""
        if self.hang_after is not None:
            await asyncio.get_running_loop().create_future()


def _value(name: str, text: str) -> Any:
    try:
        return _KINDS[name].of_text(text)
    except ValueError:
        raise WrongQueryError(name, text) from None


def frame(index: int | str, payload: str) -> bytes:
    """Write one event as our completion profile does."""
    return f"event: message\nid: peer-{index}\ndata: {payload}\n\n".encode()


def listen() -> socket.socket:
    """Listen on a free port, and say which."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
    return listener


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it exists, as our server does."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
