"""The claim that Flux<String> and Flowable<String> are not standard server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import aiohttp

from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict, missing, untested
from benchmarks.claims.tools import JAVA, has, spring
from servers.profiles import PROFILES, StreamIdentity
from servers.sse import EventStreamDecoder
from streams.source import Token

__all__ = (
    "CLAIM",
    "CLIENT",
    "ENDPOINT",
    "NOBODY",
    "TEXTS",
    "Framed",
    "Written",
    "framed",
    "judge",
    "measure",
    "our_profile",
)

TEXTS: Final = ("Hello", " world", "two\nlines", "", "中文", "the end.")
"""What is streamed: with what tokens of a model have and raw framing may lose."""

ENDPOINT: Final = "declared"
CLIENT: Final = "asked for"
NOBODY: Final = "neither declared nor asked for"

_EVENT_STREAM: Final = "text/event-stream"
_ANY: Final = "*/*"
_FIELDS: Final = frozenset({"data", "event", "id", "retry"})
_STACKS: Final = {"mvc": "Spring MVC", "webflux": "Spring WebFlux"}
_TYPES: Final = {"flux": "Flux<String>", "flowable": "Flowable<String>"}
_TIMEOUT_S: Final = 20


@dataclass(frozen=True, slots=True)
class Written:
    """What a server wrote for the texts.

    Attributes:
        stack: who wrote it.
        what: the type that it was given.
        way: who wanted an event stream: the endpoint in what it produces, the client in Accept, or nobody.
        content_type: of the answer.
        body: its bytes.
        original: whether it is a real Spring; ours is made after it.
    """

    stack: str
    what: str
    way: str
    content_type: str
    body: bytes
    original: bool = True

    @property
    def is_asked(self) -> bool:
        """Whether somebody wanted an event stream."""
        return self.way != NOBODY


@dataclass(frozen=True, slots=True)
class Framed:
    """What a strict decoder makes of it.

    Attributes:
        written: what was decoded.
        fault: what is not standard; empty: nothing.
        texts: the data of its events.
    """

    written: Written
    fault: str
    texts: tuple[str, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """The texts in whose places something else came, or nothing."""
        return tuple(sent for sent, came in zip_longest(TEXTS, self.texts[: len(TEXTS)]) if sent != came)


def framed(written: Written) -> Framed:
    """Decode as the standard says, and find fault where the standard would only pass over something."""
    texts = tuple(event.data for event in EventStreamDecoder().feed(written.body))
    return Framed(written, _fault(written, texts), texts)


def _fault(written: Written, texts: Sequence[str]) -> str:
    media_type = written.content_type.partition(";")[0].strip().lower()
    if media_type != _EVENT_STREAM:
        return f"its type is {media_type or 'not given'}, which EventSource refuses"
    try:
        lines = written.body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError:
        return "it is no UTF-8"
    if lines[-2:] != ["", ""]:
        return "the last event has no blank line behind it"
    strange = [line for line in lines if line and line.partition(":")[0] not in {"", *_FIELDS}]
    if strange:
        return f"{strange[0]!r} is no field"
    if len(texts) != len(TEXTS):
        return f"{len(texts)} events for {len(TEXTS)} texts"
    for sent, came in zip(TEXTS, texts, strict=True):
        # The standard takes a space behind the colon, which may be the one that the text begins with.
        if came not in {sent, sent.removeprefix(" ")}:
            return f"{came!r} came for {sent!r}"
    return ""


def judge(decoded: Sequence[Framed], lacking: tuple[str, ...] = ()) -> Evidence:
    """Refuted if what Spring writes is standard wherever an event stream is wanted; ours decides nothing.

    Args:
        decoded: of every stack, type and way of asking.
        lacking: why there is nothing of Spring in it.
    """
    sentences = _sentences(decoded)
    theirs = [each for each in decoded if each.written.original]
    if not theirs:
        return untested(lacking, _figures(decoded), sentences)
    faulty_asked = any(each.fault for each in theirs if each.written.is_asked)
    faulty_open = any(each.fault for each in theirs if not each.written.is_asked)
    all_faulty = all(each.fault for each in theirs)
    if all_faulty:
        verdict, condition = Verdict.HOLDS, ""
    elif faulty_asked:
        where = dict.fromkeys(_name(each.written) for each in theirs if each.fault and each.written.is_asked)
        verdict, condition = Verdict.CONDITIONAL, f"of {', '.join(where)}"
    elif faulty_open:
        verdict, condition = Verdict.CONDITIONAL, "where neither the client nor the endpoint names text/event-stream"
    else:
        verdict, condition = Verdict.REFUTED, ""
    return Evidence(verdict, _figures(decoded), sentences, condition)


def _name(written: Written) -> str:
    return f"{written.what}, {written.stack}"


def _figures(decoded: Sequence[Framed]) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    for each in decoded:
        what = f"{each.written.what}, event stream {each.written.way}"
        standard = f"standard; {len(TEXTS) - len(each.changed)} of {len(TEXTS)} texts exact"
        figures.append(Figure(what, each.fault or standard, of=each.written.stack))
    return tuple(figures)


def _sentences(decoded: Sequence[Framed]) -> tuple[str, ...]:
    standard = [each for each in decoded if not each.fault]
    sentences = [f"{len(standard)} of {len(decoded)} responses are standard events for a strict decoder, one per text."]
    faults: dict[str, list[str]] = {}
    for each in decoded:
        if each.fault:
            faults.setdefault(each.fault, []).append(_name(each.written))
    sentences += [f"Not standard: {'; '.join(dict.fromkeys(names))}: {fault}." for fault, names in faults.items()]
    if any(each.changed for each in standard):
        lost = dict.fromkeys(repr(sent) for each in standard for sent in each.changed)
        changed = sum(bool(each.changed) for each in standard)
        sentences.append(f"Standard is not exact: {changed} of these {len(standard)} changed {', '.join(lost)}.")
    return tuple(sentences)


# --- The experiment ----------------------------------------------------------------------------------------------


def our_profile() -> Written:
    """Write the texts in our profile `data`, which is made after WebFlux."""
    encoder = PROFILES["data"](StreamIdentity("claim"))
    tokens = [Token(index, text, 0, 0) for index, text in enumerate(TEXTS)]
    body = encoder.begin() + encoder.tokens(tokens, 0) + encoder.end()
    return Written("ours", "profile data", ENDPOINT, encoder.content_type, body, original=False)


def measure(stacks: Sequence[str] = tuple(_STACKS)) -> list[Framed]:
    """Have Spring write the texts if Java is there, and our profile in any case.

    Args:
        stacks: of Spring: mvc, webflux.

    Raises:
        RuntimeError: something could not be built or started.
        OSError: a server did not answer as it should.
    """
    written = [our_profile()]
    if has(JAVA):
        with spring(*((stack, "Texts") for stack in stacks)) as servers:
            for stack, server in zip(stacks, servers, strict=True):
                written += asyncio.run(_ask_all(_STACKS[stack], server.port))
    return [framed(each) for each in written]


async def _ask_all(stack: str, port: int) -> list[Written]:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as session:
        return [
            Written(stack, _TYPES[kind], way, *await _ask(session, f"/{kind}/{path}", accept))
            for kind in _TYPES
            for way, path, accept in (
                (ENDPOINT, "declared", _ANY),
                (CLIENT, "open", _EVENT_STREAM),
                (NOBODY, "open", _ANY),
            )
        ]


async def _ask(session: aiohttp.ClientSession, path: str, accept: str) -> tuple[str, bytes]:
    query = [("text", text) for text in TEXTS]
    async with session.get(path, params=query, headers={"Accept": accept}) as response:
        response.raise_for_status()
        return response.headers.get("Content-Type", ""), await response.read()


CLAIM: Final = Claim(
    name="raw-strings",
    statement="Flux<String> and Flowable<String> are not standard SSE",
    said_by="answers to questions about Spring and EventSource",
    decided_by=(
        "Spring MVC and WebFlux stream six texts as Flux<String> and Flowable<String>: from an endpoint that "
        "declares text/event-stream, and from one that leaves it to the client, which asks for it or for anything. A "
        "strict decoder wants that type, no line that is no field, no unfinished event and one event per text, in "
        "their order. It is refuted if all are standard."
    ),
    limits="A browser's EventSource always asks for text/event-stream; fetch and curl do not unless told to.",
    experiment=lambda: judge(measure(), missing(JAVA)),
    helps=JAVA,
)
