"""A page in the browser, what it loads, and its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

LAPTOP, SMALL_LAPTOP, TABLET, PHONE = (1440, 900), (1280, 800), (820, 1180), (390, 844)
LARGEST = 1_500_000

TABLES = """() => Object.fromEntries([...document.querySelectorAll('table[id]')].map(table => [table.id,
    [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => {
        const copy = cell.cloneNode(true);
        copy.querySelectorAll('small').forEach(small => small.prepend(' | '));
        return copy.textContent.replace(/\\s+/g, ' ').trim();
    }))]))"""
CUT_OFF = """() => [...document.querySelectorAll('h1, h2, .tile p, .badge')]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline')
    .map(e => e.textContent)"""


@contextmanager
def opened(
    browser: Browser, file: Path, size: tuple[int, int] = LAPTOP, mode: str = "light", *, with_script: bool = False
) -> Iterator[tuple[Page, list[str]]]:
    """Open a page; what it logs or asks for outside is in the list. `with_script` lets axe run in it."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if mode == "dark" else "light",
        bypass_csp=with_script,
    )
    heard: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    yield page, heard
    context.close()


def reached_by_keyboard(page: Page, presses: int = 60) -> set[str]:
    """Skip to the results, then press Tab; what has the focus each time, by its label or tag."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    reached = set()
    for _ in range(presses):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.tagName")
        )
    return reached
