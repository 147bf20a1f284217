"""A stream as a file that `source=recording:FILE&pacing=recorded` plays again, with the gaps with which it came.

One `chat.completion.chunk` a line, whatever the profile was, with "at_ms": when its bytes arrived, in milliseconds
since the request was sent. Why the model stopped and its own token counts follow, in OpenAI's words, if the stream had
them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.results import write_whole
from benchmarks.traces.captures import Trace

__all__ = ("check_recording_path", "recording_lines", "save_recording")

_NS_PER_MS: Final = 1_000_000
_MODEL: Final = "recorded"
_FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "tool-calls": "tool_calls",
    "refusal": "content_filter",
    "content-filter": "content_filter",
}
"""What Anthropic and the AI SDK call what OpenAI calls otherwise."""
_COUNTS: Final = (("input_tokens", "output_tokens"), ("inputTokens", "outputTokens"))


def check_recording_path(path: Path, *, force: bool = False) -> None:
    """Find out before anything is measured whether a recording can be written.

    Raises:
        FileExistsError: there is a file already, and no `force`.
        OSError: there is no such folder, or `path` is one.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; a recording is one file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write the recording into")
    if path.exists() and not force:
        raise FileExistsError(f"{path} is there already; --force writes over it")


def save_recording(trace: Trace, path: Path, *, model: str = _MODEL, force: bool = False) -> None:
    """Write a stream as a recording, whole or not at all.

    Args:
        trace: the stream, parsed with its texts.
        path: the file; it is to lie in the server's folder with recordings.
        model: the name that goes into every chunk.
        force: write over a file that is there.

    Raises:
        ValueError: no token came, or the texts were not kept.
        OSError: it cannot be written, or is there already; what was there before is still there.
    """
    check_recording_path(path, force=force)
    lines = "".join(f"{line}\n" for line in recording_lines(trace, model=model))
    write_whole(path, lines.encode())


def recording_lines(trace: Trace, *, model: str = _MODEL) -> Iterator[str]:
    """Give the lines of a recording. Raises ValueError as `save_recording`.

    Half a surrogate pair, which a JSON string may hold and UTF-8 may not, becomes U+FFFD.
    """
    if not any(trace.texts) or len(trace.texts) != len(trace.received_ns):
        raise ValueError("there is nothing to record: the stream had no token, or its texts were not kept")
    times = trace.times
    sent_ns = times.scheduled_ns if times.sent_ns is None else times.sent_ns
    head = {"id": "chatcmpl-recorded", "object": "chat.completion.chunk", "created": int(time.time()), "model": model}

    def line(choices: list[dict[str, Any]], at_ns: int, **more: Any) -> str:
        chunk = {**head, "choices": choices, **more, "at_ms": max(0, at_ns - sent_ns) / _NS_PER_MS}
        return json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))

    last_ns = sent_ns
    for text, received_ns in zip(trace.texts, trace.received_ns.tolist(), strict=True):
        last_ns = max(last_ns, received_ns)
        yield line([_choice({"content": _encodable(text)}, None)], last_ns)
    if trace.finish_reason is not None:
        reason = _FINISH_REASONS.get(trace.finish_reason, trace.finish_reason)
        yield line([_choice({}, reason)], last_ns)
    if trace.usage is not None:
        yield line([], last_ns, usage=_usage(trace.usage))


def _choice(delta: Mapping[str, str], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _encodable(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return token counts under OpenAI's names, beside those that they came under."""
    for given, produced in _COUNTS:
        prompt_count, completion_count = usage.get(given, 0), usage.get(produced)
        if isinstance(prompt_count, int) and isinstance(completion_count, int) and "prompt_tokens" not in usage:
            total = {"total_tokens": prompt_count + completion_count}
            return {**usage, "prompt_tokens": prompt_count, "completion_tokens": completion_count, **total}
    return dict(usage)
