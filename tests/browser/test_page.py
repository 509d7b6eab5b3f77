"""The page in a real browser: what it loads, says, hides and prints, at three widths, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.opened import (
    CUT_OFF,
    LAPTOP,
    LARGEST,
    PHONE,
    SMALL_LAPTOP,
    TABLES,
    TABLET,
    opened,
    reached_by_keyboard,
)
from tests.browser.scenes import SCENES
from tests.results.page.figures import differences
from tests.results.page.world import DAY, HOSTILE_NAMES

Made = Callable[[str], Path]


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(
    ("scene", "size"),
    [*((scene, LAPTOP) for scene in SCENES), ("hostile", TABLET), ("hostile", PHONE), ("sixty", PHONE)],
)
def test_it_is_quiet_fits_its_width_and_breaks_no_rule_of_axe(
    browser: Browser, page_file: Made, scene: str, size: tuple[int, int], mode: str
) -> None:
    file = page_file(scene)
    assert file.stat().st_size < LARGEST
    with opened(browser, file, size, mode, with_script=True) as (page, heard):
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.evaluate(CUT_OFF) == []
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in found] == []
        assert heard == []


def test_dark_is_dark(browser: Browser, page_file: Made) -> None:
    shades = {}
    for mode in ("light", "dark"):
        with opened(browser, page_file("twelve"), mode=mode) as (page, _):
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
            shades[mode] = sum(colour) / 3
    assert shades["light"] > 230
    assert shades["dark"] < 40


@pytest.mark.parametrize("scene", ["one", "twelve", "sixty"])
def test_the_first_screen_of_a_laptop_answers_what_matters(browser: Browser, page_file: Made, scene: str) -> None:
    with opened(browser, page_file(scene)) as (page, _):
        for selector in (
            "h1",
            "[data-test=freshness]",
            "[data-test=turnover]",
            ".tile.wide",
            "#sectors",
            "table.short",
        ):
            box = page.locator(selector).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= LAPTOP[1], selector


@pytest.mark.parametrize(
    ("size", "table"),
    [
        (PHONE, "table.short"),
        (TABLET, "table.short"),
        (TABLET, "#rotation-table"),
        (LAPTOP, "table.short"),
        (LAPTOP, "#rotation-table"),
        (LAPTOP, "#runs-table"),
        (LAPTOP, "#tails-table"),
        (SMALL_LAPTOP, "table.short"),
        (SMALL_LAPTOP, "#rotation-table"),
        (SMALL_LAPTOP, "#runs-table"),
    ],
)
def test_weights_the_rotation_and_runs_are_seen_without_scrolling_sideways(
    browser: Browser, page_file: Made, size: tuple[int, int], table: str
) -> None:
    with opened(browser, page_file("sixty"), size) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
        width, shown = page.evaluate(
            "name => (box => [box.scrollWidth, box.clientWidth])(document.querySelector(name).parentElement)", table
        )
        assert width <= shown + 1
        assert page.locator("table.short .bar").first.is_visible()


def test_every_figure_in_the_browser_is_that_of_sql(
    browser: Browser, page_file: Made, twelve: psycopg.Connection
) -> None:
    with opened(browser, page_file("twelve")) as (page, _):
        assert differences(page.evaluate(TABLES), twelve, DAY) == []


def test_a_figure_in_the_drawing_is_that_of_its_table(browser: Browser, page_file: Made) -> None:
    with opened(browser, page_file("twelve")) as (page, _):
        table = {row[0].split()[-1]: row for row in page.evaluate(TABLES)["rotation-table"]}
        heads = page.evaluate(
            "[...document.querySelectorAll('.tail .head')].map(c => [c.cx.baseVal.value, c.cy.baseVal.value])"
        )
        names = page.evaluate("[...document.querySelectorAll('text.label')].map(t => t.textContent)")
        last = page.evaluate(TABLES)["strength-table"][0]
        headings = page.evaluate(
            "[...document.querySelectorAll('.panel h3')].map(h => [h.querySelector('.light').textContent,"
            " h.querySelector('.value').textContent])"
        )
    drawn = dict(zip(names, heads, strict=True))
    for ticker, (x, y) in drawn.items():
        strength, momentum = (float(cell.replace("−", "-")) for cell in table[ticker][2:4])
        # The middle of the drawing is (320, 250).
        assert (x > 320) == (strength > 0) and (y < 250) == (momentum > 0)
    by_x = sorted(drawn, key=lambda ticker: drawn[ticker][0])
    # The table has two decimals: of two that are equal there, either is first in the drawing.
    strengths = [float(table[ticker][2].replace("−", "-")) for ticker in by_x]
    assert strengths == sorted(strengths)
    assert sorted(value for _, value in headings) == sorted(last[1:])


def test_names_with_markup_are_shown_as_they_are(browser: Browser, page_file: Made) -> None:
    with opened(browser, page_file("hostile"), with_script=True) as (page, heard):
        shown = page.locator("#portfolio-table .name").all_text_contents()
        assert shown[:4] == list(HOSTILE_NAMES[:4])
        assert page.title().startswith("SYNTHETIC DATA")
        assert page.locator("script, img, iframe, [onmouseover], [onerror]").count() == 0
        page.locator("table.short").hover()
        assert heard == []


def test_a_script_would_not_run(browser: Browser, page_file: Made, tmp_path: Path) -> None:
    tampered = tmp_path / "tampered.html"
    tampered.write_text(page_file("one").read_text().replace("</main>", "<script>document.title = 'x'</script></main>"))
    with opened(browser, tampered) as (page, heard):
        assert page.title() != "x"
        assert "Content Security Policy" in " ".join(heard)


def test_the_keyboard_reaches_the_results_the_tables_and_what_is_folded(browser: Browser, page_file: Made) -> None:
    with opened(browser, page_file("twelve")) as (page, _):
        reached = reached_by_keyboard(page)
        assert {
            "Table of returns of the sectors",
            "Table of positions with reasons",
            "Table of runs",
            "SUMMARY",
        } <= reached
        page.locator("#strength summary").focus()
        page.keyboard.press("Enter")
        assert page.locator("#strength-table").is_visible()


def test_it_prints_with_every_table_and_on_white(browser: Browser, page_file: Made) -> None:
    with opened(browser, page_file("sixty"), mode="dark") as (page, _):
        printed = page.pdf(prefer_css_page_size=True)
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("#strength-table").is_visible()
        assert page.locator("#exclusions-table").is_visible()
        assert not page.locator("nav").is_visible()
    assert printed.startswith(b"%PDF")
    assert 3 <= printed.count(b"/Type /Page\n") <= 25
