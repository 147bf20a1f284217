"""What the lessons stand on: checks that can fail, pictures that are what they say, a player that only shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import aiohttp
import pytest

from benchmarks.teaching import display, player, plots
from benchmarks.teaching.checks import check, observe
from benchmarks.teaching.display import drawing_of, show_marbles, side_by_side, table
from benchmarks.teaching.player import MarblePlayer, moments
from benchmarks.teaching.serving import server, server_process
from servers.marbles import diagram, drawn, parse_marbles, simulated
from servers.parameters import ParameterError
from streams.marbles import Diagram, Lane, Marble, diagram_of, svg
from streams.reactive import UNBOUNDED
from streams.simulate import DemandSchedule, SourceSchedule, simulate
from streams.strategy import BackpressureStrategy

__all__ = ()

SVG: Final = "{http://www.w3.org/2000/svg}"
SCRIPT: Final = Path(player.__file__).with_name("player.js").read_text("utf-8")
STYLE: Final = Path(player.__file__).with_name("player.css").read_text("utf-8")
DROP: Final = parse_marbles([("strategy", "drop"), ("count", "6")])


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was displayed: media type -> content, one for each output."""
    shown: list[dict[str, str]] = []

    def take(bundle: dict[str, str], *, raw: bool, metadata: dict[str, Any]) -> None:
        assert raw
        shown.append({**bundle, "metadata": json.dumps(metadata)})

    monkeypatch.setattr(display, "display", take)
    return shown


# --- Checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [..., [1, ...], {"a": ...}, (1, (2, ...))])
def test_open_answer_is_waited_for(answer: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(answer, [1, 2], "think") is False
    assert capsys.readouterr().out == "Waiting for your answer. · 等你作答。\n"


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        (3, 3), (3.0, 3), (0.1 + 0.2, 0.3), (True, True), ("a", "a"), ([1, 2], (1, 2)), (["a"], ["a"]), ([], []),
        ({1, 2}, {2, 1}), ([2, 1], {1, 2}), ({"a": 1}, {"a": 1.0}), (None, None), (b"a", b"a"), ([[1]], ([1],)),
    ],
)  # fmt: skip
def test_right_answer_is_right(answer: object, truth: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(answer, truth, "think") is True
    assert capsys.readouterr().out == "Right. · 对了。\n"


@pytest.mark.parametrize(
    ("answer", "truth", "difference"),
    [
        (4, 3, "yours is too large"),
        (2, 3, "yours is too small"),
        (float("nan"), 3, "yours is no number"),
        ("3", 3, "the answer is a number, yours of type str"),
        (True, 1, "the answer is a number, yours of type bool"),
        (1, True, "the answer is of type bool, yours of type int"),
        (False, True, "it is the other way round"),
        ("abd", "abc", "look at character 3 again"),
        ("xbc", "abc", "it is another one"),
        ("abcd", "abc", "yours is too long"),
        ("ab", "abc", "yours is too short"),
        (1, "a", "the answer is of type str, yours of type int"),
        ([1, 3, 3], [1, 2, 3], "right up to item 1; look at item 2 again"),
        ([2, 2, 3], [1, 2, 3], "look at item 1 again"),
        ([1], [1, 2], "right as far as it goes, but too short"),
        ([1, 2, 3], [1, 2], "right as far as it goes, but too long"),
        ("12", [1, 2], "the answer is a list, yours of type str"),
        ({1, 2, 9}, {1, 3, 4}, "2 of yours should not be in it, 2 more should be"),
        (1, {1}, "the answer is a set, yours of type int"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "look at b again"),
        ({"a": 1}, {"a": 1, "b": 3}, "its keys: 1 more should be"),
        ([], {"a": 1}, "the answer is a dict, yours of type list"),
        (None, [1], "the answer is a list, yours of type NoneType"),
        (1, None, "the answer is of type NoneType, yours of type int"),
    ],
)  # fmt: skip
def test_wrong_answer_hears_what_differs_and_the_hint(
    answer: object, truth: object, difference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(answer, truth, "think") is False
    assert capsys.readouterr().out == f"Not yet: {difference} · 还不对。think\n"


def test_number_may_be_off_by_the_tolerance() -> None:
    assert check(95, 100, tolerance=0.1)
    assert not check(80, 100, tolerance=0.1)


def test_hint_is_text() -> None:
    with pytest.raises(TypeError, match="hint must be a str; got 5"):
        check(1, 1, 5)  # type: ignore[arg-type]


def test_observation_is_printed_if_it_holds_and_raised_if_not(capsys: pytest.CaptureFixture[str]) -> None:
    observe("two are lost", 1 + 1 == 2)
    assert capsys.readouterr().out == "Observed · 观察到: two are lost\n"
    with pytest.raises(AssertionError, match="not observed: two are lost"):
        observe("two are lost", [])


# --- Diagrams and tables ---------------------------------------------------------------------------------------------


def kinds(drawing: str) -> list[tuple[str | None, str | None]]:
    """Return what the marks of a drawing say they are."""
    marks = ElementTree.fromstring(drawing).iter()
    return [(mark.get("data-lane"), mark.get("data-first")) for mark in marks if mark.get("data-kind")]


def test_trace_is_shown_with_its_title_as_a_picture_and_as_text(outputs: list[dict[str, str]]) -> None:
    show_marbles(simulated(DROP), "Six & a half")

    (shown,) = outputs
    assert kinds(shown["image/svg+xml"]) == kinds(drawn(DROP))
    assert "Six &amp; a half</text>" in shown["image/svg+xml"]
    assert shown["text/plain"].splitlines()[0] == "Six & a half"
    assert "source    0---" in shown["text/plain"]


def test_drawing_without_a_title_has_none(outputs: list[dict[str, str]]) -> None:
    show_marbles(diagram(DROP))
    title = ElementTree.fromstring(outputs[0]["image/svg+xml"]).find(f"{SVG}title")
    assert title is not None
    assert title.text == "Marble diagram"


def test_panels_share_one_picture_and_one_axis(outputs: list[dict[str, str]]) -> None:
    short, long = (Diagram((Lane("source", "emitted", (Marble(ms, "a"),)),)) for ms in (10, 90))
    side_by_side(("short", short), ("long", long))

    root = ElementTree.fromstring(outputs[0]["image/svg+xml"])
    same = Diagram(short.lanes, short.noun, 90)
    assert kinds(outputs[0]["image/svg+xml"]) == kinds(svg(same)) + kinds(svg(long))
    assert root.get("width") == "954"
    assert svg(same, width=470).partition("</style>")[2].removesuffix("</svg>") in outputs[0]["image/svg+xml"]
    words = root.find(f"{SVG}desc")
    assert words is not None
    assert str(words.text).startswith("short: 1 item was emitted")


def test_ids_of_two_drawings_differ_and_of_one_stay() -> None:
    first, again = (drawing_of([("a", diagram(DROP))], columns=1, width=400) for _ in range(2))
    other = drawing_of([("b", diagram(DROP))], columns=1, width=400)
    ids = [ElementTree.fromstring(shown["image/svg+xml"])[0].get("id") for shown in (first, again, other)]
    assert first == again
    assert ids[0] == ids[1] != ids[2]


def test_ground_of_a_drawing_is_named_as_the_drawing_names_it() -> None:
    shown = drawing_of([("a", diagram(DROP))], columns=1, width=400)["image/svg+xml"]
    assert 'style="fill:var(--marbles-ground,var(--md-paper))"' in shown
    assert "--md-paper:" in shown


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(TypeError, match="what is drawn must be a Trace or a Diagram; got 5"):
        show_marbles(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="panels must hold at least one"):
        side_by_side()
    with pytest.raises(ValueError, match="rows must hold at least one; got none"):
        table([])


def test_table_is_escaped_and_aligned(outputs: list[dict[str, str]]) -> None:
    table([{"名称": "<b>", "n": 12345}, {"名称": "四个汉字", "n": 0.12345}, {"n": None}], "Two")

    page = ElementTree.fromstring(outputs[0]["text/html"])
    cells = [[cell.text for cell in row] for row in page.iter("tr")]
    assert cells == [["名称", "n"], ["<b>", "12,345"], ["四个汉字", "0.123"], [None, None]]
    assert outputs[0]["text/plain"].splitlines() == ["Two", "名称      n", "<b>       12,345", "四个汉字   0.123"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (999.4, "999"),
        (999.6, "1,000"),
        (1234.5, "1,234"),
        (-45678.9, "-45,679"),
        (0.0, "0"),
        (2**63 - 1, f"{2**63 - 1:,}"),
    ],
)
def test_numbers_in_a_table_are_never_written_as_powers(
    value: float, shown: str, outputs: list[dict[str, str]]
) -> None:
    table([{"n": value}])
    assert outputs[0]["text/plain"].splitlines()[1] == shown


# --- Plots -----------------------------------------------------------------------------------------------------------


def test_plot_is_a_picture_with_a_description_and_the_same_again(outputs: list[dict[str, str]]) -> None:
    for _ in range(2):
        axes = plots.plot("Title", "x", "y")
        axes.plot([1, 2], label="series")
        plots.finish(axes, "It rises.")

    assert outputs[0] == outputs[1]
    assert outputs[0]["image/png"].startswith("iVBOR")
    assert outputs[0]["text/plain"] == "It rises."
    assert json.loads(outputs[0]["metadata"]) == {"image/png": {"alt": "It rises."}}
    assert len(outputs[0]["image/png"]) < 60_000


def test_legend_is_there_where_series_have_names(outputs: list[dict[str, str]]) -> None:
    named, unnamed = plots.plots(["named", "unnamed"], "x", "y")
    named.plot([1, 2], label="series")
    unnamed.plot([1, 2])
    plots.finish(named, "Two lines.")

    assert named.get_legend() is not None
    assert unnamed.get_legend() is None
    with pytest.raises(ValueError, match="titles must hold at least one"):
        plots.plots([], "x", "y")


# --- Servers ---------------------------------------------------------------------------------------------------------


async def health(address: str) -> object:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/healthz") as response:
        return await response.json()


async def test_server_is_there_for_the_block() -> None:
    async with server(threads=2) as address:
        assert address.startswith("http://127.0.0.1:")
        assert await health(address) == {"status": "ok", "streams": 0}
    with pytest.raises(aiohttp.ClientConnectorError):
        await health(address)


@pytest.mark.slow
async def test_server_process_is_there_for_the_block() -> None:
    async with server_process("--threads", "2") as process:
        address = f"http://127.0.0.1:{process.port}"
        assert await health(address) == {"status": "ok", "streams": 0}
    with pytest.raises(aiohttp.ClientConnectorError):
        await health(address)


# --- The player: the kernel's side -----------------------------------------------------------------------------------


def test_player_shows_what_the_server_would_draw() -> None:
    asked = parse_marbles([("strategy", "buffer"), ("capacity", "2"), ("overflow", "drop_incoming"), ("count", "9")])
    shown = MarblePlayer(strategy="buffer", capacity=2, overflow="drop_incoming", count=9).shown

    assert shown["svg"] == svg(diagram(asked), prefix="player")
    assert shown["moments"] == moments(diagram(asked))
    assert shown["error"] == ""


def test_moments_are_the_instants_in_order_and_where_they_are_drawn() -> None:
    found = moments(diagram(DROP))

    assert [moment["ms"] for moment in found] == [0, 50, 100, 125, 150, 200, 250, 275]
    drawing = ElementTree.fromstring(svg(diagram(DROP)))
    circles = list(drawing.iter(f"{SVG}circle"))[:6]
    assert [round(760 * moment["x"], 2) for moment in found if moment["ms"] % 50 == 0] == [
        float(circle.get("cx", 0)) for circle in circles
    ]
    assert found[0]["words"] == "emitted · 发出 0; held · 暂存 0; delivered · 送达 0; demand · 需求 +1"
    assert found[1]["words"] == "emitted · 发出 1; lost · 丢失 1; held · 暂存 0"
    assert found[-1]["words"] == "held · 暂存 0; consumer completed"


def test_moments_say_of_a_merged_item_where_it_merged_and_where_it_arrived() -> None:
    asked = parse_marbles([("strategy", "reduce"), ("count", "4")])
    words = [moment["words"] for moment in moments(diagram(asked))]
    assert "emitted · 发出 2; merged · 合并 2; held · 暂存 1" in words
    assert "held · 暂存 0; delivered · 送达 1-2; demand · 需求 +1" in words


def test_moments_say_that_demand_is_without_bound() -> None:
    trace = simulate(BackpressureStrategy.DROP, SourceSchedule([], 5), DemandSchedule([(0, UNBOUNDED)]))
    assert moments(diagram_of(trace))[0]["words"] == "held · 暂存 0; demand · 需求 +∞"


def test_empty_diagram_has_one_moment() -> None:
    assert [moment["ms"] for moment in moments(Diagram((Lane("source", "emitted"),)))] == [0]


def test_changed_settings_are_simulated_anew() -> None:
    widget = MarblePlayer()
    widget.settings = {**widget.settings, "strategy": "reduce", "reader_rate": "2"}
    asked = parse_marbles([("strategy", "reduce"), ("max_merged", "8"), ("reader_rate", "2"), ("count", "16")])
    assert widget.shown["svg"] == svg(diagram(asked), prefix="player")


def test_settings_may_be_numbers() -> None:
    widget = MarblePlayer()
    widget.settings = {**widget.settings, "count": 5}
    assert widget.shown == MarblePlayer(count=5).shown


def test_refused_settings_keep_the_drawing_and_say_why() -> None:
    widget = MarblePlayer()
    before = widget.shown["svg"]
    widget.settings = {**widget.settings, "count": "201"}
    assert widget.shown["svg"] == before
    assert widget.shown["error"] == "count must be a whole number from 0 to 200; got '201'"
    widget.settings = {**widget.settings, "count": "5"}
    assert widget.shown["error"] == ""


def test_player_of_a_trace_has_no_controls_and_stays_as_it_is() -> None:
    widget = MarblePlayer.of(simulated(DROP))
    before = widget.shown
    assert widget.controls == []
    assert before["svg"] == svg(diagram(DROP), prefix="player")
    widget.settings = {**widget.settings, "strategy": "latest"}
    assert widget.shown == before


def test_player_falls_back_to_a_picture_and_a_text() -> None:
    bundle, _ = MarblePlayer(count=6)._repr_mimebundle_()
    assert bundle.keys() == {"application/vnd.jupyter.widget-view+json", "image/svg+xml", "text/plain"}
    assert kinds(bundle["image/svg+xml"]) == kinds(drawn(DROP))


def test_wrong_beginnings_are_refused() -> None:
    with pytest.raises(TypeError, match=r"settings must be of strategy, .*; got speed"):
        MarblePlayer(speed=1)
    with pytest.raises(ParameterError, match="count must be"):
        MarblePlayer(count=-1)
    with pytest.raises(TypeError, match="drawn must be a Trace or a Diagram; got 5"):
        MarblePlayer.of(5)  # type: ignore[arg-type]


def test_script_of_the_player_draws_nothing_and_loads_nothing() -> None:
    for word in ("createElementNS", "circle", "canvas", "import ", "fetch(", "http"):
        assert word not in SCRIPT


# --- The player: the browser's side, with a page that plays the host --------------------------------------------------

HOST: Final = """<!doctype html><meta charset="utf-8"><style>__CSS__</style><main></main><script type="module">
import widget from "/player.js";
const values = JSON.parse(await window.kernelState());
const heard = new Map();
const model = {
  get: (name) => values[name],
  set: (name, value) => { values[name] = value; },
  on: (event, call) => heard.set(event, (heard.get(event) ?? new Set()).add(call)),
  off: (event, call) => heard.get(event).delete(call),
  async save_changes() {
    values.shown = JSON.parse(await window.kernelTake(JSON.stringify(values.settings)));
    for (const call of heard.get("change:shown")) call();
  },
};
window.heard = heard;
window.leave = widget.render({ model, el: document.querySelector("main") });
document.body.dataset.ready = "";
</script>"""


class Host:
    """A page that shows a player, and its kernel: the widget itself."""

    def __init__(self, browser: Any, widget: MarblePlayer) -> None:
        self.widget = widget
        self.page = browser.new_page()
        self.page.set_default_timeout(10_000)
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.expose_function("kernelState", self._state)
        self.page.expose_function("kernelTake", self._take)
        self.page.route("**/*", self._answer)
        self.page.goto("http://127.0.0.1/")
        self.page.wait_for_selector("body[data-ready]", state="attached")

    def _answer(self, route: Any) -> None:
        if route.request.url.endswith("/player.js"):
            route.fulfill(body=SCRIPT, content_type="text/javascript")
        elif route.request.url.endswith("/"):
            route.fulfill(body=HOST.replace("__CSS__", STYLE), content_type="text/html")
        else:
            route.fulfill(status=204)

    def _state(self) -> str:
        return json.dumps({name: getattr(self.widget, name) for name in ("settings", "shown", "controls")})

    def _take(self, settings: str) -> str:
        self.widget.settings = json.loads(settings)
        return json.dumps(self.widget.shown)

    def words(self) -> str:
        return str(self.page.locator(".mp-words").text_content())

    def drawing(self) -> list[str]:
        found = self.page.locator(".mp-drawing [data-kind]")
        return list(found.evaluate_all("marks => marks.map(m => `${m.dataset.lane} ${m.dataset.first}`)"))

    def wait_words(self, text: str) -> None:
        self.page.locator(".mp-words", has_text=text).wait_for()

    def veil(self) -> Any:
        return self.page.locator(".mp-veil")


@pytest.fixture
def open_player(browser: Any) -> Iterator[Any]:
    """Open players; afterwards nothing may have gone wrong."""
    hosts: list[Host] = []

    def start(widget: MarblePlayer) -> Host:
        hosts.append(Host(browser, widget))
        return hosts[-1]

    yield start
    for host in hosts:
        host.page.close()
        assert host.problems == []


@pytest.mark.slow
def test_player_shows_the_drawing_it_is_sent(open_player: Any) -> None:
    host = open_player(MarblePlayer(count=6))
    marks = [f"{lane or 'undefined'} {first or 'undefined'}" for lane, first in kinds(host.widget.shown["svg"])]
    assert host.drawing() == marks
    assert host.words().startswith("275 ms: ")
    assert host.veil().is_hidden()


@pytest.mark.slow
def test_scrubber_goes_from_moment_to_moment_by_keyboard(open_player: Any) -> None:
    host = open_player(MarblePlayer(count=6))
    scrubber = host.page.get_by_label("Moment · 时刻")
    scrubber.focus()
    host.page.keyboard.press("Home")
    host.page.keyboard.press("ArrowRight")

    assert host.words() == "50 ms: emitted · 发出 1; lost · 丢失 1; held · 暂存 0"
    assert scrubber.get_attribute("aria-valuetext") == host.words()
    left = host.veil().evaluate("veil => parseFloat(veil.style.left)")
    assert left == pytest.approx(100 * host.widget.shown["moments"][1]["x"], abs=0.01)
    host.page.keyboard.press("End")
    assert host.veil().is_hidden()


@pytest.mark.slow
def test_keys_of_the_player_stay_in_it(open_player: Any) -> None:
    host = open_player(MarblePlayer(count=6))
    # As JupyterLab does, which takes arrows for its own commands.
    host.page.evaluate("document.addEventListener('keydown', (event) => event.preventDefault())")
    host.page.get_by_label("Moment · 时刻").focus()
    host.page.keyboard.press("ArrowLeft")
    assert host.words().startswith("250 ms: ")


@pytest.mark.slow
def test_changed_control_changes_the_marbles(open_player: Any) -> None:
    host = open_player(MarblePlayer(count=6))
    before = host.drawing()
    host.page.get_by_label("Strategy · 策略").select_option("reduce")
    host.wait_words("500 ms")
    assert host.drawing() != before
    assert host.widget.settings["strategy"] == "reduce"
    assert host.page.get_by_label("Merged at most · 最多合并").is_visible()
    assert host.page.get_by_label("Capacity · 容量").is_hidden()
    host.page.get_by_label("Reader, tokens/s · 读者").fill("2")
    host.wait_words("1000 ms")


@pytest.mark.slow
def test_refused_control_says_why_and_keeps_the_drawing(open_player: Any) -> None:
    host = open_player(MarblePlayer(strategy="buffer", count=6))
    before = host.drawing()
    host.page.get_by_label("Capacity · 容量").fill("0")
    error = host.page.get_by_role("alert")
    error.wait_for()
    assert error.text_content() == "capacity must be at least 1, or unbounded, for strategy=buffer; got 0"
    assert host.drawing() == before
    host.page.get_by_label("Capacity · 容量").fill("1")
    error.wait_for(state="hidden")


@pytest.mark.slow
def test_play_goes_on_by_itself_and_stops_at_the_end(open_player: Any) -> None:
    host = open_player(MarblePlayer(count=2))
    host.page.clock.install()
    host.page.get_by_role("button", name="Play").press("Enter")
    assert host.words().startswith("0 ms: ")
    host.page.clock.run_for(3000)
    assert host.words().startswith("50 ms: ")
    host.page.get_by_role("button", name="Pause").click()
    host.page.clock.run_for(9000)
    assert host.words().startswith("50 ms: ")
    host.page.get_by_role("button", name="Play").click()
    host.page.clock.run_for(9000)
    assert host.words().startswith("125 ms: ")
    assert host.page.get_by_role("button", name="Play").is_visible()


@pytest.mark.slow
def test_player_that_is_removed_listens_no_more(open_player: Any) -> None:
    host = open_player(MarblePlayer(count=6))
    host.page.evaluate("window.leave()")
    assert host.page.locator(".marble-player").count() == 0
    assert host.page.evaluate("[...heard.values()].every((calls) => calls.size === 0)")


@pytest.mark.slow
def test_player_of_a_trace_is_shown_without_controls(open_player: Any) -> None:
    host = open_player(MarblePlayer.of(simulated(DROP)))
    assert host.page.locator("select, input[type=number]").count() == 0
    assert host.words().startswith("275 ms: ")
