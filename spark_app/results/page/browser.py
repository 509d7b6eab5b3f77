"""The browser of this machine: a picture of the page, and showing it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from pathlib import Path

from spark_app.errors import ServiceUnavailableError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
_OPTIONS = ("--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-background-networking")
_SIZE = (1440, 900)
_SECONDS = 120


def picture_of(page: Path) -> bytes:
    """Return the first screen of a page as PNG, as a laptop shows it.

    Raises: ServiceUnavailableError: there is no browser, or it makes no picture.
    """
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise ServiceUnavailableError(
            "--png needs Chromium, and none is on PATH: install it (Debian: apt-get install chromium)"
        )
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        # Its sandbox does not work as root; the page has no script and loads nothing.
        as_root = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
        size = ",".join(map(str, _SIZE))
        command = [browser, *_OPTIONS, *as_root, f"--user-data-dir={folder}/profile", f"--window-size={size}"]
        command += [f"--screenshot={picture}", page.absolute().as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceUnavailableError(f"{browser} makes no picture of {page}: {error}") from error
        if not picture.is_file():
            raise ServiceUnavailableError(f"{browser} makes no picture of {page}: run it with a writable HOME")
        return picture.read_bytes()


def show(page: Path) -> bool:
    """Open a page in the user's browser; returns whether there is a desktop to do it on."""
    has_desktop = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return has_desktop and webbrowser.open(page.absolute().as_uri())
