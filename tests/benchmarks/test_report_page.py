"""The report in a real browser: it draws everything, asks for nothing, and suits light, dark, paper and a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.report import write
from benchmarks.report.stacks import write_page
from tests.benchmarks.made_up import EXTREME, made_up_results
from tests.benchmarks.test_report_stacks import comparison

__all__ = ()

TIMEOUT_MS: Final = 15_000

# How many pixels of each canvas in sight are not those of its background, which is transparent.
_DRAWN: Final = """() => [...document.querySelectorAll('canvas')].filter((each) => each.offsetParent).map((each) => {
    const { data } = each.getContext('2d').getImageData(0, 0, each.width, each.height);
    let drawn = 0;
    for (let at = 3; at < data.length; at += 4) drawn += data[at] > 0;
    return drawn;
})"""
# How many pixels of the first canvas have the colour of a custom property.
_COLOURED: Final = """(name) => {
    const code = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));
    const canvas = document.querySelector('canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const wanted = r + (g << 8) + (b << 16) - 2 ** 24;
    return new Int32Array(data.buffer).filter((pixel) => pixel === wanted).length;
}"""
# Of the marbles that passed: how many there are, and how many have not the colour of their strategy.
_MARBLES: Final = """() => {
    const marbles = [...document.querySelectorAll('.timeline .md-mark.md-passed:not(.md-about)')];
    const others = marbles.filter((marble) => {
        const code = getComputedStyle(marble.closest('figure')).getPropertyValue('--c').trim();
        const channels = [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));
        return getComputedStyle(marble).fill !== `rgb(${channels.join(', ')})`;
    });
    return [marbles.length, others.length];
}"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


class Visit:
    """A report that is open, and what went wrong or out of the file meanwhile."""

    def __init__(self, browser: Any, path: Path, *, ready: str = "body[data-ready]", **options: Any) -> None:
        self.context = browser.new_context(locale="en-US", **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.problems: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.add_init_script(
            "window.violations = []; window.shift = 0;"
            "document.addEventListener('securitypolicyviolation', (event) => violations.push(event.blockedURI));"
            "new PerformanceObserver((list) => list.getEntries().forEach((each) => (window.shift += each.value)))"
            ".observe({ type: 'layout-shift', buffered: true });"
        )
        self.address = path.as_uri()
        self.page.goto(self.address)
        self.page.wait_for_selector(ready)

    def _hear(self, message: Any) -> None:
        # The tests read canvases again and again, the page does not.
        if "willReadFrequently" not in message.text:
            self.problems.append(message.text)

    def check(self) -> None:
        """Fail if the file logged anything, reached for anything but itself, or is wider than its window."""
        assert self.problems == []
        assert self.requested == [self.address]
        assert self.page.evaluate("window.violations") == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write(made_up_results(), path)
    return path


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Callable[..., Visit]]:
    opened: list[Visit] = []

    def visit(path: Path = report, **options: Any) -> Visit:
        opened.append(Visit(browser, path, **options))
        return opened[-1]

    yield visit
    for each in opened:
        each.check()
        each.context.close()


@pytest.fixture(scope="module")
def default(browser: Any, report: Path) -> Iterator[Any]:
    """Give the tests that leave colours, medium and width alone one page for all."""
    visited = Visit(browser, report)
    yield visited.page
    visited.check()
    visited.context.close()


def _all_drawn(page: Any) -> list[int]:
    """Wait until each plot in sight has its canvas: those of a fold come a little after it is opened."""
    page.wait_for_function(
        "() => [...document.querySelectorAll('.plot')]"
        ".every((plot) => !plot.offsetParent || plot.querySelector('canvas'))"
    )
    drawn: list[int] = page.evaluate(_DRAWN)
    return drawn


SCREENS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 400, "height": 800}},
}


@pytest.mark.parametrize("screen", SCREENS.values(), ids=list(SCREENS))
def test_every_chart_has_pixels(visit: Callable[..., Visit], screen: dict[str, Any]) -> None:
    page = visit(**screen).page
    page.locator("details.more:not([open]) > summary").evaluate_all("all => all.forEach(each => each.click())")
    drawn = _all_drawn(page)
    assert len(drawn) == page.locator("[data-view]:not([hidden]) .plot").count() > 10
    assert min(drawn) > 500
    assert page.locator(".timeline svg [data-kind]").count() > 100
    bars = page.locator(".track").evaluate_all("tracks => tracks.map(each => each.getBBox().width)")
    assert len(bars) > 30
    assert min(bars) > 0


def test_charts_do_not_move_what_is_there(default: Any) -> None:
    assert default.evaluate("window.shift") < 0.01


def test_charts_take_the_colours_of_the_scheme(visit: Callable[..., Visit]) -> None:
    page = visit(color_scheme="light").page
    assert page.evaluate(_COLOURED, "--c0") > 50
    light = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--c0')")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => ({_COLOURED})('--c0') > 50")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--c0')") != light


def test_timelines_have_the_colours_of_strategies_on_every_ground(visit: Callable[..., Visit]) -> None:
    page = visit(color_scheme="light").page
    inks: list[str] = []
    for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
        page.emulate_media(color_scheme=scheme, media=media)
        marbles, others = page.evaluate(_MARBLES)
        assert marbles > 100
        assert others == 0
        name = page.locator(".timeline svg text").first
        inks.append(name.evaluate("text => getComputedStyle(text).fill"))
    assert inks[0] == inks[2] != inks[1]


def test_paper_is_light_and_has_the_charts_larger_than_their_places(visit: Callable[..., Visit]) -> None:
    page = visit(color_scheme="dark").page
    on_screen = page.locator("canvas").first.evaluate("canvas => canvas.width")
    page.emulate_media(media="print")
    page.wait_for_selector(":root[data-print] canvas")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')") == "#fffefb"
    assert page.evaluate(_COLOURED, "--c0") > 50
    assert page.locator("canvas").first.evaluate("canvas => canvas.width") > on_screen
    assert page.locator("details.more:not([open])").count() == 0
    assert page.locator("details.wide table:visible").count() == 0
    beyond = (
        "each => each.getBoundingClientRect().right > document.querySelector('main').getBoundingClientRect().right + 1"
    )
    assert (
        page.locator("main canvas, main table:not(.wide table), main svg").evaluate_all(
            f"all => all.filter({beyond}).length"
        )
        == 0
    )
    page.emulate_media(media="screen")
    page.wait_for_selector(":root:not([data-print]) canvas")
    assert page.locator("canvas").first.evaluate("canvas => canvas.width") == on_screen
    assert page.locator("details.more[open]").count() == 0


def test_printing_gives_a_document(default: Any) -> None:
    page = default
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.wait_for_selector(":root:not([data-print])")


def test_choosing_a_distribution_shows_and_draws_it(default: Any) -> None:
    page = default
    fold = page.locator("#scenario-0 details.more")
    fold.locator("> summary").click()
    section = fold.locator("[data-chart]", has=page.locator("select")).first
    section.locator("select").select_option(label="Gaps between tokens (ITL)")
    shown = section.locator("[data-view]:visible")
    assert shown.count() == 1
    assert "Gaps between tokens" in shown.first.inner_text()
    assert shown.locator("canvas").count() == shown.locator(".plot").count() > 0


def test_pointing_at_a_chart_reads_its_values(default: Any) -> None:
    page = default
    over = page.locator("#scenario-0 .u-over:visible").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    reading = over.locator(".reading")
    reading.wait_for()
    assert "suspend" in reading.inner_text()
    assert "ms" in reading.inner_text()


def _column(page: Any, heading: Any) -> list[float | None]:
    """Return the values of the column that a heading stands above, in the order of the rows."""
    values: list[float | None] = heading.evaluate(
        "th => [...th.closest('table').tBodies[0].rows].map(row => row.cells[th.cellIndex])"
        ".map(cell => 'value' in cell.dataset ? Number(cell.dataset.value) : null)"
    )
    return values


def test_heading_sorts_by_keyboard_and_by_click(default: Any) -> None:
    page = default
    heading = page.locator("#scenario-0 th[aria-sort]", has_text="Lost").first
    before = _column(page, heading)
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    known = [value for value in before if value is not None]
    assert heading.get_attribute("aria-sort") == "ascending"
    assert _column(page, heading) == sorted(known)
    assert before != sorted(known)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert _column(page, heading) == sorted(known, reverse=True)


def test_missing_values_stay_last_whichever_way_a_table_is_sorted(visit: Callable[..., Visit], tmp_path: Path) -> None:
    results = EXTREME["interrupted"]()
    write(results, tmp_path / "report.html")
    page = visit(tmp_path / "report.html").page
    heading = page.locator("#scenario-0 th[aria-sort]", has_text="Tokens").first
    for _ in range(2):
        heading.locator("button").click()
        assert "not measured" in page.locator("#scenario-0 table").first.locator("tbody tr").last.inner_text()


def test_everything_that_scrolls_is_reached_by_keyboard_and_named(visit: Callable[..., Visit]) -> None:
    page = visit(viewport={"width": 400, "height": 800}).page
    scrolled = "all => all.filter(each => each.scrollWidth > each.clientWidth)"
    assert page.locator(".scroll").evaluate_all(f"{scrolled}.length") > 0
    assert page.locator(".scroll:not([tabindex='0'][role=region][aria-label])").count() == 0
    assert page.locator(".plot:not([role=img][aria-label])").count() == 0
    assert page.locator("svg:not([aria-hidden]):not([role=img][aria-labelledby])").count() == 0


def test_first_table_of_each_scenario_fits_a_window_of_1200_pixels(visit: Callable[..., Visit]) -> None:
    page = visit(viewport={"width": 1200, "height": 900}).page
    tables = page.locator("[id^=scenario-] .scroll:visible")
    assert tables.count() >= 5
    assert tables.evaluate_all("all => all.filter(each => each.scrollWidth > each.clientWidth).length") == 0


@pytest.mark.parametrize("screen", SCREENS.values(), ids=list(SCREENS))
def test_page_of_other_stacks_shows_ours_apart_and_needs_no_script(
    visit: Callable[..., Visit], tmp_path: Path, screen: dict[str, Any]
) -> None:
    write_page(comparison(), tmp_path / "peers.html")
    page = visit(tmp_path / "peers.html", ready="main", **screen).page
    fills = {
        css: page.locator(f".bar.{css}").first.evaluate("bar => getComputedStyle(bar).fill")
        for css in ("ours", "theirs")
    }
    assert fills["ours"] != fills["theirs"]
    assert page.locator(".stacks .track").count() == 6
    assert page.locator("script").count() == 0


def test_tables_bars_and_timelines_need_no_script(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".figures tbody tr").count() > 15
    assert page.locator(".bars li").count() > 30
    assert page.locator(".timeline svg").count() > 5
    assert "need JavaScript" in page.locator("noscript").inner_text()
    context.close()


def test_odd_results_are_drawn_without_a_complaint(visit: Callable[..., Visit], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for name in ("nothing", "nothing known", "text as markup", "many cells"):
        write(EXTREME[name](), path)
        visited = visit(path)
        visited.check()
        shown = visited.page.locator("[data-view]:not([hidden])")
        assert shown.locator(".plot:visible canvas").count() == shown.locator(".plot:visible").count()
