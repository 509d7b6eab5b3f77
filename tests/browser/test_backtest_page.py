"""The page of a backtest in a real browser: what it loads, says, hides and prints, at three widths, light and dark."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from spark_app.results.backtest.facts import Facts, facts_of
from spark_app.results.backtest.rendering import render_backtest
from spark_app.storage.postgres.database import parse_url
from tests.browser.opened import CUT_OFF, LAPTOP, LARGEST, PHONE, TABLES, TABLET, opened, reached_by_keyboard
from tests.results.backtest.figures import differences, store
from tests.results.backtest.world import found_in, full_facts, market_outcome, origin_of, plain_facts
from tests.storage.postgres.copies import new_database

Made = Callable[[str], Path]
SCENES: dict[str, Callable[[], Facts]] = {
    "plain": plain_facts,
    "full": full_facts,
    "short": partial(plain_facts, first=dt.date(2023, 11, 1)),
}


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Makes the page of a scene, once."""
    folder = tmp_path_factory.mktemp("backtests")

    def made(scene: str) -> Path:
        file = folder / f"{scene}.html"
        if not file.exists():
            file.write_text(render_backtest(SCENES[scene]()), encoding="utf-8")
        return file

    return made


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(
    ("scene", "size"), [*((scene, LAPTOP) for scene in SCENES), ("full", TABLET), ("full", PHONE), ("plain", PHONE)]
)
def test_it_is_quiet_fits_its_width_and_breaks_no_rule_of_axe(
    browser: Browser, page_of: Made, scene: str, size: tuple[int, int], mode: str
) -> None:
    file = page_of(scene)
    assert file.stat().st_size < LARGEST
    with opened(browser, file, size, mode, with_script=True) as (page, heard):
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.evaluate(CUT_OFF) == []
        page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in found] == []
        assert heard == []


def test_every_figure_in_the_browser_is_that_of_sql(browser: Browser, tmp_path: Path, postgres_url: str) -> None:
    found, server = found_in(market_outcome()), parse_url(postgres_url)
    file = tmp_path / "page.html"
    file.write_text(render_backtest(facts_of(found, origin_of())), encoding="utf-8")
    with (
        new_database(server, template=server.parameters["dbname"]) as database,
        database.connect() as connection,
        opened(browser, file) as (page, _),
    ):
        store(connection, found)
        assert differences(page.evaluate(TABLES), connection) == []


def test_the_line_of_a_portfolio_ends_where_its_table_says(browser: Browser, page_of: Made) -> None:
    with opened(browser, page_of("plain")) as (page, _):
        last = page.evaluate(TABLES)["equity-table"][0]
        ends = page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('#equity path')].map(line => [line.className.baseVal,"
            " line.getPointAtLength(line.getTotalLength()).y]))"
        )
        ticks = page.evaluate(
            "[...document.querySelectorAll('#equity .tick.value')].map(t => [Number(t.textContent),"
            " parseFloat(t.style.top)])"
        )
    assert len(ticks) >= 3
    values = dict(zip(("strategy", "equal_weight", "benchmark"), map(float, last[1:]), strict=True))
    for series, y in ends.items():
        for value, top in ticks:
            # The drawing is 300 high.
            assert (y / 3 < top) == (values[series] > value)


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_labels_of_the_axes_do_not_overlap(browser: Browser, page_of: Made, size: tuple[int, int]) -> None:
    with opened(browser, page_of("full"), size) as (page, _):
        for chart in ("#equity", "#drawdown"):
            boxes = page.evaluate(
                f"[...document.querySelectorAll('{chart} .tick')].filter(t => t.offsetParent)"
                ".map(t => t.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom])"
            )
            assert len(boxes) > 5
            for number, one in enumerate(boxes):
                for other in boxes[number + 1 :]:
                    apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                    assert apart, (chart, one, other)


def test_marks_and_results_are_on_the_first_screen_of_a_laptop(browser: Browser, page_of: Made) -> None:
    for scene, selectors in {
        "plain": ("h1", ".asked", ".tiles", "#statistics-table"),
        "full": (".banner", "h1", ".badge.bad", "#look-ahead", ".unattainable", ".tiles"),
    }.items():
        with opened(browser, page_of(scene)) as (page, _):
            for selector in selectors:
                box = page.locator(selector).first.bounding_box()
                assert box is not None
                assert box["y"] + box["height"] <= LAPTOP[1], selector


def test_the_keyboard_reaches_the_results_the_tables_and_what_is_folded(browser: Browser, page_of: Made) -> None:
    with opened(browser, page_of("plain")) as (page, _):
        reached = reached_by_keyboard(page)
        assert {"Table of statistics", "Table of years", "Table of costs", "Table of turnover", "SUMMARY"} <= reached
        page.locator("#equity summary").focus()
        page.keyboard.press("Enter")
        assert page.locator("#equity-table").is_visible()


def test_a_heading_leads_to_its_definition(browser: Browser, page_of: Made) -> None:
    with opened(browser, page_of("full")) as (page, _):
        missing = page.evaluate(
            "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href'))"
            ".filter(href => !document.querySelector(href))"
        )
        assert missing == []
        page.get_by_role("link", name="Sortino").click()
        assert page.locator("#d-sortino").is_visible()
        assert page.evaluate("location.hash") == "#d-sortino"


def test_it_prints_with_every_table_and_on_white(browser: Browser, page_of: Made) -> None:
    with opened(browser, page_of("full"), mode="dark") as (page, _):
        printed = page.pdf(prefer_css_page_size=True)
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        for table in ("equity", "drawdown", "parameters", "further", "grid"):
            assert page.locator(f"#{table}-table").is_visible()
        assert not page.locator("nav").is_visible()
    assert 4 <= printed.count(b"/Type /Page\n") <= 12


def test_a_fact_with_markup_is_shown_as_it_is(browser: Browser, page_of: Made) -> None:
    with opened(browser, page_of("full"), with_script=True) as (page, heard):
        assert "my <funds>.toml" in str(page.locator(".command").text_content())
        assert page.title().startswith("SYNTHETIC DATA")
        assert page.locator("script, img, iframe").count() == 0
        assert heard == []
