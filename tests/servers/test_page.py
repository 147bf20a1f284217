"""The page in a real browser, against a real server process: what a visitor sees is what the streams did."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from servers.sse import EventStreamDecoder
from streams.source import demo_texts

sync_api: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright")

__all__ = ()

ROOT: Final = Path(__file__).parents[2]
DEMO: Final = "".join(demo_texts())
MARKUP: Final = ("<b>bold</b>", " & <img src=x onerror=alert(1)>", "<script>document.title = 'owned'</script>")
TIMEOUT_MS: Final = 15_000
FASTEST: Final = 15  # the last position of the slider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


# --- The server, the browser, a page -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the server on a free port; give its address without the last slash."""
    recordings = tmp_path_factory.mktemp("recordings")
    chunks = [json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in MARKUP]
    (recordings / "markup.jsonl").write_text("\n".join(chunks), "utf-8")
    command = [sys.executable, "-m", "servers", "--port", "0", "--grace-s", "0", "--recordings", str(recordings)]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    ) as process:
        banner: queue.Queue[str] = queue.Queue()

        def read_log() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                banner.put(line)

        reading = threading.Thread(target=read_log)
        reading.start()
        try:
            first = banner.get(timeout=30)
            assert first.startswith("tokenweir: http://"), first
            yield first.split()[1].rstrip("/")
        finally:
            process.terminate()
            process.wait(10)
            reading.join(10)


class Visit:
    """A page, and what went wrong or elsewhere while it was open."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(locale="en-US", reduced_motion="reduce", **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.problems: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("websocket", lambda socket: self.requested.append(socket.url))
        self.page.add_init_script(
            "window.violations = [];"
            "document.addEventListener('securitypolicyviolation', (event) => violations.push(event.blockedURI));"
        )
        self.address = address
        self.page.goto(f"{address}/")
        self.page.wait_for_selector("body[data-ready]")

    def _hear(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(message.text)

    def choose(self, *, strategy: str = "drop", reader: int = FASTEST, source: str = "demo", **fields: str) -> None:
        """Set the controls of the race; `reader` is a position of the slider."""
        self.page.locator(f"input[name=strategy][value={strategy}]").check(force=True)
        self.page.select_option("#controls [name=source]", source)
        self.slide(reader)
        self.page.locator("#controls .more").evaluate("details => details.open = true")
        for name, value in fields.items():
            control = self.page.locator(f"#controls [name={name}]")
            if name in {"capacity", "overflow", "pacing"}:
                control.select_option(value)
            else:
                control.fill(value)
                control.blur()

    def slide(self, position: int) -> None:
        self.page.locator("#reader").fill(str(position))

    def wait_state(self, variant: str, state: str) -> None:
        self.page.wait_for_selector(f".lane[data-variant={variant}][data-state={state}]")

    def text(self, selector: str) -> str:
        return str(self.page.locator(f"{selector} [data-text]").evaluate("element => element.textContent"))

    def counters(self, variant: str) -> dict[str, float]:
        """Read all counters of a lane at one moment."""
        lane = self.page.locator(f".lane[data-variant={variant}]")
        pairs: dict[str, str] = lane.evaluate(
            "lane => Object.fromEntries([...lane.querySelectorAll('[data-counter]')]"
            ".map(({dataset}) => [dataset.counter, dataset.value]))"
        )
        return {name: float(value) for name, value in pairs.items()}

    def marks(self, variant: str, kind: str) -> list[str]:
        """Read the numbers of the `gap` or `merged` marks in a lane's text."""
        found = self.page.locator(f".lane[data-variant={variant}] .{kind}")
        return [str(count) for count in found.evaluate_all("marks => marks.map(mark => mark.dataset.count)")]

    def wait_until(self, condition: str, argument: object) -> None:
        """Wait until a JavaScript function returns true: Playwright's own way needs eval, which the page forbids."""
        holds: bool = self.page.evaluate(
            f"""async ([argument, timeoutMs]) => {{
                const condition = {condition};
                const endMs = performance.now() + timeoutMs;
                while (!(await condition(argument))) {{
                    if (performance.now() > endMs) return false;
                    await new Promise(requestAnimationFrame);
                }}
                return true;
            }}""",
            [argument, TIMEOUT_MS],
        )
        assert holds, f"never true for {argument!r}: {condition}"

    def wait_counter(self, variant: str, name: str, least: float) -> None:
        self.wait_until(
            "([variant, name, least]) => Number(document.querySelector("
            "`[data-variant=${variant}] [data-counter=${name}]`).dataset.value) >= least",
            [variant, name, least],
        )

    def wait_active_streams(self, count: int) -> None:
        """Wait until the server says that it sends so many streams."""
        self.wait_until(
            """async (count) => {
                const text = await (await fetch("/metrics")).text();
                const lines = text.split("\\n").filter((line) => line.startsWith("tokenweir_active_streams{"));
                return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0) === count;
            }""",
            count,
        )


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """Open the page; afterwards nothing may have gone wrong, been refused, or come from elsewhere."""
    visit = Visit(browser, address)
    yield visit
    violations = visit.page.evaluate("window.violations")
    visit.context.close()
    hosts = {urlsplit(url).netloc for url in visit.requested}
    assert hosts == {urlsplit(address).netloc}
    assert violations == []
    assert visit.problems == []


# --- The race ------------------------------------------------------------------------------------------------------


def test_fast_reader_gets_the_whole_text_in_every_lane(visit: Visit) -> None:
    visit.choose(strategy="suspend", rate="2000", capacity="64")
    visit.page.click("#start")
    for variant in ("emitter", "rx", "flux"):
        visit.wait_state(variant, "completed")
        assert visit.text(f"[data-variant={variant}]") == DEMO


@pytest.mark.parametrize("strategy", ["drop", "latest"])
def test_loss_is_visible_to_a_slow_reader(visit: Visit, strategy: str) -> None:
    visit.choose(strategy=strategy, rate="400", count="120", reader=9)
    visit.page.click("#start")
    for variant in ("rx", "flux"):
        visit.wait_state(variant, "completed")
        counters = visit.counters(variant)
        gaps = [int(count) for count in visit.marks(variant, "gap")]
        assert counters["emitted"] == 120
        assert counters["dropped"] > 0
        assert sum(gaps) == counters["dropped"]


def test_latest_shows_the_last_token_of_all(visit: Visit) -> None:
    visit.choose(strategy="latest", source="counter", rate="400", count="100", reader=8)
    visit.page.click("#start")
    for variant in ("rx", "flux"):
        visit.wait_state(variant, "completed")
        assert visit.text(f"[data-variant={variant}]").endswith("99")


def test_reduce_marks_what_it_merged_and_loses_no_text(visit: Visit) -> None:
    visit.choose(strategy="reduce", rate="400", reader=10)
    visit.page.click("#start")
    for variant in ("rx", "flux"):
        visit.wait_state(variant, "completed")
        assert visit.text(f"[data-variant={variant}]") == DEMO
        assert visit.counters(variant)["merged"] > 0
        assert visit.marks(variant, "merged")
        assert not visit.marks(variant, "gap")


def test_marks_never_stand_inside_a_character(visit: Visit) -> None:
    # A family of four code points with joiners between them, and a thumb with its skin tone.
    pieces = [("Hi \U0001f468\u200d", 1), ("\U0001f469\u200d", 3), ("\U0001f467", 1), ("!", 2), (" \U0001f44d", 2)]
    pieces += [("\U0001f3ff", 2), ("x", 1)]
    written: list[list[str]] = visit.page.evaluate(
        """async (pieces) => {
            const { Typewriter } = await import("/page/typewriter.js");
            const element = document.createElement("p");
            const typewriter = new Typewriter(element, element);
            for (const [text, count] of pieces) {
                if (count === 1) typewriter.write(text);
                else typewriter.writeMerged(text, count);
            }
            return [...element.childNodes].map((node) => [node.textContent, node.dataset?.count ?? ""]);
        }""",
        pieces,
    )
    assert written == [
        ["Hi ", ""],
        ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "1+3+1"],
        ["!", "2"],
        [" \U0001f44d\U0001f3ff", "2+2"],
        ["x", ""],
    ]


def test_suspend_holds_the_source_back(visit: Visit) -> None:
    visit.choose(strategy="suspend", capacity="4", rate="400", reader=9)
    visit.page.evaluate(
        """() => {
            window.mostAhead = {};
            for (const lane of document.querySelectorAll(".lane[data-variant]")) {
                const value = (name) => Number(lane.querySelector(`[data-counter=${name}]`).dataset.value);
                const look = () => {
                    const most = Math.max(mostAhead[lane.dataset.variant] ?? 0, value("emitted") - value("delivered"));
                    mostAhead[lane.dataset.variant] = most;
                };
                new MutationObserver(look).observe(lane.querySelector("[data-counter=demand]"), { attributes: true });
            }
        }"""
    )
    visit.page.click("#start")
    # The reader is twenty times slower than the source, so a source that is not held back would be done by now.
    visit.wait_counter("flux", "delivered", 30)
    ahead: dict[str, float] = visit.page.evaluate("window.mostAhead")
    assert 0 < ahead["flux"] <= 4 + 1  # what is held, and the one that waits to be
    assert ahead["emitter"] <= 1
    assert visit.counters("flux")["late"] > 0
    assert visit.counters("flux")["dropped"] == 0


def test_missing_piles_up_in_the_tab(visit: Visit) -> None:
    visit.choose(strategy="missing", rate="1000", count="200", reader=3)
    visit.page.click("#start")
    for variant in ("rx", "flux"):
        visit.wait_counter(variant, "unread", 150)
        visit.wait_counter(variant, "delivered", 200)  # the last ones may still be on their way to the tab
        assert visit.counters(variant)["delivered"] == 200


def test_error_ends_the_lane_and_says_why(visit: Visit) -> None:
    visit.choose(strategy="error", rate="400", reader=6)
    visit.page.click("#start")
    for variant in ("rx", "flux"):
        visit.wait_state(variant, "failed")
        assert "no room for item" in visit.page.locator(f"[data-variant={variant}] .failure").inner_text()


def test_every_overflow_rule_of_buffer_is_one_that_the_server_takes(visit: Visit) -> None:
    for overflow in ("error", "drop_oldest", "drop_incoming", "drop_newest_held", "suspend"):
        visit.choose(strategy="buffer", capacity="unbounded", overflow=overflow, rate="2000", count="20")
        visit.page.click("#start")
        for variant in ("emitter", "rx", "flux"):
            visit.wait_state(variant, "completed")


def test_lane_says_when_it_cannot_take_the_strategy(visit: Visit) -> None:
    note = "[data-variant={}] [data-part=note]"
    visit.choose(strategy="drop")
    assert "suspend, not drop" in visit.page.inner_text(note.format("emitter"))
    assert visit.page.inner_text(note.format("flux")) == "Runs drop."
    visit.choose(strategy="suspend")
    assert "reduce" in visit.page.inner_text(note.format("rx"))


def test_text_with_markup_is_shown_as_text(visit: Visit) -> None:
    visit.choose(source="recording:markup.jsonl", strategy="suspend", rate="1000")
    visit.page.click("#start")
    for variant in ("emitter", "rx", "flux"):
        visit.wait_state(variant, "completed")
        assert visit.text(f"[data-variant={variant}]") == "".join(MARKUP)
    assert visit.page.locator("[data-text] :not(span)").count() == 0
    assert visit.page.title() == "tokenweir"


def test_stop_reaches_the_server(visit: Visit) -> None:
    visit.choose(strategy="suspend", capacity="0", rate="100", reader=1)
    visit.page.click("#start")
    visit.wait_active_streams(3)
    visit.page.click("#stop")
    visit.wait_active_streams(0)
    for variant in ("emitter", "rx", "flux"):
        visit.wait_state(variant, "stopped")


def test_slider_works_while_the_race_runs(visit: Visit) -> None:
    visit.choose(strategy="suspend", capacity="0", rate="2000", reader=0)
    visit.page.click("#start")
    visit.wait_active_streams(3)
    assert visit.text("[data-variant=flux]") == ""
    visit.slide(FASTEST)
    visit.wait_state("flux", "completed")
    assert visit.text("[data-variant=flux]") == DEMO


def test_other_controls_restart_a_running_race(visit: Visit) -> None:
    visit.choose(strategy="suspend", capacity="0", rate="2000", reader=0)
    visit.page.click("#start")
    visit.wait_active_streams(3)
    visit.choose(strategy="reduce", rate="2000")
    for variant in ("emitter", "rx", "flux"):
        visit.wait_state(variant, "completed")
        assert visit.text(f"[data-variant={variant}]") == DEMO


def test_wrong_field_starts_nothing(visit: Visit) -> None:
    visit.choose(rate="-1")
    visit.page.click("#start")
    assert visit.page.locator(".lane[data-variant][data-state=idle]").count() == 3


def message_of(visit: Visit, control: str) -> str:
    return str(visit.page.locator(control).evaluate("control => control.validationMessage"))


def test_rate_below_the_smallest_one_of_the_server_starts_nothing(visit: Visit) -> None:
    visit.choose(rate="0.0000001")
    visit.page.click("#start")
    assert visit.page.locator(".lane[data-variant][data-state=idle]").count() == 3
    assert "at least 0.001" in message_of(visit, "#controls [name=rate]")

    visit.page.fill("#classic-controls [name=reader_rate]", "0.0000001")
    visit.page.click("[data-client=fetch] [data-part=start]")
    assert visit.page.locator("[data-client=fetch][data-state=idle]").count() == 1
    assert "at least 0.001" in message_of(visit, "#classic-controls [name=reader_rate]")

    visit.choose(rate="0", count="5", strategy="suspend")
    visit.page.click("#start")
    visit.wait_state("flux", "completed")
    assert message_of(visit, "#controls [name=rate]") == ""


def test_refused_lane_shows_the_words_of_the_server(visit: Visit) -> None:
    visit.choose(count="99999999999999999999")
    visit.page.click("#start")
    for variant in ("emitter", "rx", "flux"):
        visit.wait_state(variant, "failed")
        assert "count must be a whole number from 0" in visit.page.inner_text(f"[data-variant={variant}] .failure")
    assert all("400" in problem for problem in visit.problems)
    visit.problems.clear()  # the browser's own words about it


# --- The classic clients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["eventsource", "fetch"])
def test_classic_client_shows_the_exact_text(visit: Visit, client: str) -> None:
    visit.page.fill("#classic-controls [name=rate]", "2000")
    for variant in ("emitter", "rx", "flux"):
        visit.page.select_option("#classic-controls [name=variant]", variant)
        visit.page.click(f"[data-client={client}] [data-part=start]")
        visit.page.wait_for_selector(f"[data-client={client}][data-state=completed]")
        assert visit.text(f"[data-client={client}]") == DEMO
        visit.wait_active_streams(0)


@pytest.mark.parametrize("client", ["eventsource", "fetch"])
def test_classic_client_shows_markup_as_text(visit: Visit, client: str) -> None:
    visit.page.select_option("#classic-controls [name=source]", "recording:markup.jsonl")
    visit.page.click(f"[data-client={client}] [data-part=start]")
    visit.page.wait_for_selector(f"[data-client={client}][data-state=completed]")
    assert visit.text(f"[data-client={client}]") == "".join(MARKUP)
    assert visit.page.locator("[data-text] *").count() == 0


@pytest.mark.parametrize("client", ["eventsource", "fetch"])
def test_stop_of_a_classic_client_reaches_the_server(visit: Visit, client: str) -> None:
    visit.page.fill("#classic-controls [name=reader_rate]", "5")
    visit.page.click(f"[data-client={client}] [data-part=start]")
    visit.wait_active_streams(1)
    visit.page.click(f"[data-client={client}] [data-part=stop]")
    visit.wait_active_streams(0)
    assert visit.page.get_attribute(f"[data-client={client}]", "data-state") == "stopped"


# Every way in which a line can end, a comment, an id, a character of four bytes, an unfinished block.
EVENT_STREAMS: Final = (
    "data: a\n\ndata:b\rdata: c\r\n\r\n:comment\nevent: error\nid: 7\ndata:  d\n\n",
    "\ufeffid: x\n\ndata\n\ndata: \n\ndata\ndata\n\nretry: 5\nunknown: y\ndata: \U0001f44b\n\nid: a\0b\ndata: e\n\n",
    "data: one\n\ndata: unfinished",
)


@pytest.mark.parametrize("stream", EVENT_STREAMS)
def test_parser_of_the_fetch_client_agrees_with_ours_wherever_the_bytes_are_split(visit: Visit, stream: str) -> None:
    events = EventStreamDecoder().feed(stream.encode())
    expected = [[event.event, event.data, event.id] for event in events]
    parsed: list[list[list[str]]] = visit.page.evaluate(
        """async (stream) => {
            const { EventStreamParser } = await import("/page/sse.js");
            const bytes = new TextEncoder().encode(stream);
            const results = [];
            for (let size = 1; size <= bytes.length; size += 1) {
                const parser = new EventStreamParser();
                const decoder = new TextDecoder();
                const events = [];
                for (let start = 0; start < bytes.length; start += size) {
                    events.push(...parser.feed(decoder.decode(bytes.slice(start, start + size), { stream: true })));
                }
                results.push(events.map(({ type, data, lastEventId }) => [type, data, lastEventId]));
            }
            return results;
        }""",
        stream,
    )
    assert parsed == [expected] * len(stream.encode())


# --- Keyboard, language, colours, size -----------------------------------------------------------------------------


def test_race_starts_from_the_keyboard(visit: Visit) -> None:
    visit.choose(strategy="reduce", rate="2000", count="20")
    visit.page.locator("[data-language=en]").focus()
    for _ in range(20):
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("document.activeElement.id") == "start":
            break
    visit.page.keyboard.press("Enter")
    visit.wait_state("flux", "completed")


def test_language_is_switched_and_remembered(visit: Visit) -> None:
    assert visit.page.get_attribute("html", "lang") == "en"
    visit.page.click("[data-language=zh]")
    assert visit.page.inner_text("#start") == "开始比赛"
    visit.page.reload()
    visit.page.wait_for_selector("body[data-ready]")
    assert visit.page.get_attribute("html", "lang") == "zh"
    assert visit.page.inner_text("#start") == "开始比赛"


def test_both_languages_have_the_same_texts(visit: Visit) -> None:
    # A text that is missing in one of them would throw while it is written.
    for language in ("zh", "en"):
        visit.page.click(f"[data-language={language}]")
        for strategy in ("missing", "error", "drop", "latest", "buffer", "reduce", "suspend"):
            visit.choose(strategy=strategy)
            assert visit.page.inner_text("#explanation")
    assert visit.page.evaluate("[...document.querySelectorAll('[data-i18n]')].every((one) => one.textContent)")


def test_dark_scheme_is_followed_while_the_page_is_open(visit: Visit) -> None:
    def ground() -> str:
        return str(visit.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = ground()
    visit.page.emulate_media(color_scheme="dark")
    assert ground() != light


def test_narrow_screen_needs_no_sideways_scrolling(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 400, "height": 800})
    for language in ("en", "zh"):
        visit.page.click(f"[data-language={language}]")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 400


# --- On paper --------------------------------------------------------------------------------------------------------


def draw(visit: Visit, summary: str, **fields: str) -> None:
    """Set controls of the drawing, and wait until it says `summary`."""
    for name, value in fields.items():
        control = visit.page.locator(f"#drawing-controls [name={name}]")
        if name in {"strategy", "capacity", "overflow"}:
            control.select_option(value)
        else:
            control.fill(value)
    sync_api.expect(visit.page.locator("#drawing-summary")).to_have_text(summary)


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        ({"strategy": "drop", "count": "9"}, "9 emitted, 3 delivered, 6 lost, 0 merged."),
        ({"strategy": "latest", "count": "9"}, "9 emitted, 5 delivered, 4 lost, 0 merged."),
        ({"strategy": "reduce", "count": "9", "max_merged": "2"}, "8 emitted, 4 delivered, 1 lost, 3 merged."),
        ({"strategy": "buffer", "capacity": "unbounded", "count": "9"}, "9 emitted, 9 delivered, 0 lost, 0 merged."),
        (
            {"strategy": "suspend", "capacity": "0", "rate": "0", "count": "9"},
            "9 emitted, 9 delivered, 0 lost, 0 merged.",
        ),
        ({"strategy": "drop", "rate": "0", "count": "150"}, "150 emitted, 1 delivered, 149 lost, 0 merged."),
    ],
)
def test_drawing_is_of_what_was_chosen(visit: Visit, fields: dict[str, str], summary: str) -> None:
    draw(visit, summary, **fields)

    picture = visit.page.locator("#drawing-picture")
    assert picture.get_attribute("alt") == f"Marble diagram. {summary}"
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 760
    assert visit.page.locator("#drawing-words").text_content().startswith(summary.split()[0])


def test_drawing_is_there_from_the_start(visit: Visit) -> None:
    draw(visit, "16 emitted, 6 delivered, 10 lost, 0 merged.")


def test_drawing_follows_the_reader_by_keyboard(visit: Visit) -> None:
    draw(visit, "9 emitted, 3 delivered, 6 lost, 0 merged.", strategy="drop", count="9")
    visit.page.locator("#drawing-reader").focus()
    visit.page.keyboard.press("End")
    sync_api.expect(visit.page.locator("#drawing-speed")).to_have_text("all that comes")
    draw(visit, "9 emitted, 9 delivered, 0 lost, 0 merged.")


def test_drawing_speaks_chinese_too(visit: Visit) -> None:
    draw(visit, "9 emitted, 3 delivered, 6 lost, 0 merged.", strategy="drop", count="9")
    visit.page.click("[data-language=zh]")
    draw(visit, "发出 9，送达 3，丢失 6，合并 0。")
    assert visit.page.locator("#drawing-picture").get_attribute("alt") == "弹珠图。 发出 9，送达 3，丢失 6，合并 0。"


def test_drawing_that_is_refused_says_why(visit: Visit) -> None:
    visit.page.route("**/v1/marbles?*", lambda route: route.continue_(url=f"{visit.address}/v1/marbles?count=201"))
    visit.page.select_option("#drawing-controls [name=strategy]", "latest")
    failure = visit.page.locator("#drawing-failure")
    sync_api.expect(failure).to_contain_text("count must be a whole number from 0 to 200; got '201'")
    assert "400 (Bad Request)" in visit.problems.pop()  # the browser itself says so in the console
