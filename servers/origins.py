"""Where the tokens of one stream come from: a local source or an upstream, made ready before anything is streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from servers.parameters import ParameterError
from streams import Gaps, Pacing, TokenSource, parse_source
from streams.pacing import play, play_in_threads

if TYPE_CHECKING:
    from servers.bodies import Ask
    from servers.upstream import Upstream
    from servers.variants import Intake

__all__ = ("Origin", "open_origin", "recording_names")


class Origin(Protocol):
    """The tokens of one stream, and what is known of them at the end."""

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped; None: it said nothing."""
        ...

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """The token counts that the model reported, or None."""
        ...

    async def feed(self, intake: Intake) -> object:
        """Send all tokens, in order. Raises what goes wrong in the source."""


async def open_origin(ask: Ask, *, recordings: Path | None, upstream: Upstream | None, executor: Executor) -> Origin:
    """Make the source that `ask` names ready.

    Raises:
        ParameterError: there is no such source, or it cannot be played as asked.
    """
    wanted = ask.parameters
    kind, _, model = wanted.source.partition(":")
    if kind == "upstream":
        if upstream is None:
            raise ParameterError("source", "source=upstream:MODEL needs a server that was started with --upstream-url")
        if wanted.producers > 1:
            raise ParameterError("producers", "producers must be 1 for an upstream: it has one connection")
        for name in ("count", "ttft_ms", "fail_after", "hang_after"):
            if getattr(wanted, name) is not None:
                raise ParameterError(name, f"{name} goes with a local source; an upstream has its own pace and end")
        options = {} if ask.max_tokens is None else {"max_tokens": ask.max_tokens}
        try:
            return upstream.completion(model, list(ask.messages), **options)
        except ValueError as error:
            raise ParameterError("messages", f"messages must be what JSON can carry; {error}") from None
    try:
        # Not in `executor`: all its threads may be feeding streams that nobody reads.
        source = await asyncio.to_thread(_local_source, ask, recordings)
    except ParameterError:
        raise
    except OSError as error:
        raise ParameterError("source", f"source={wanted.source} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ParameterError("source", str(error)) from None
    return _Played(source, wanted.producers, executor)


def _local_source(ask: Ask, recordings: Path | None) -> TokenSource:
    wanted = ask.parameters
    source = parse_source(
        wanted.source,
        recordings_dir=recordings,
        count=wanted.count,
        fail_after=wanted.fail_after,
        hang_after=wanted.hang_after,
    )
    if wanted.pacing is Gaps.RECORDED and not source.at_ms:
        raise ParameterError("pacing", "pacing=recorded goes with a recording that has times (at_ms); this has none")
    source = replace(source, pacing=Pacing(wanted.rate, wanted.pacing, wanted.ttft_ms, wanted.seed))
    if ask.max_tokens is not None and ask.max_tokens < len(source):
        source = replace(source, count=ask.max_tokens, finish_reason="length")
    return source


def recording_names(folder: Path) -> list[str]:
    """Return the sources that `folder` holds itself: files that can be opened, whatever is in them. Reading it blocks.

    What leads out of the folder and what is no regular file is left out, as `parse_source` refuses it.
    """
    root = folder.resolve()
    return [f"recording:{path.name}" for path in sorted(root.glob("*.jsonl")) if _is_file_below(root, path)]


def _is_file_below(root: Path, path: Path) -> bool:
    try:
        return path.is_file() and path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop of links, or a folder that may not be looked into
        return False


class _Played:
    """A local source, played on the loop or by threads."""

    def __init__(self, source: TokenSource, producers: int, executor: Executor) -> None:
        self._source = source
        self._producers = producers
        self._executor = executor

    @property
    def finish_reason(self) -> str | None:
        return self._source.finish_reason

    @property
    def usage(self) -> Mapping[str, Any] | None:
        return self._source.usage

    async def feed(self, intake: Intake) -> object:
        if self._producers == 1:
            return await play(self._source, intake.send, offer=intake.offer)
        return await play_in_threads(
            self._source, intake.send_blocking, producers=self._producers, executor=self._executor
        )
