"""From one library's stream to the other's, without either knowing the other.

`streams.flowable` registers here how a publisher becomes an Rx Observable; it is the only module that imports
reactivex.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ("register_observable", "to_observable")

_CONVERTERS: list[Callable[[Any], Any]] = []


def register_observable(converter: Callable[[Any], Any]) -> None:
    """Say how a publisher becomes an Observable."""
    _CONVERTERS[:] = [converter]


def to_observable(publisher: Any) -> Any:
    """Return an Observable of `publisher`, subscribed with unbounded demand."""
    return _CONVERTERS[0](publisher)
