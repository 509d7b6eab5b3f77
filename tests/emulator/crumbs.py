"""Cookies and crumbs: each cookie has one crumb, and neither is worth anything without the other."""

from __future__ import annotations

import secrets
import threading

_COOKIE_DAYS = 365


class Crumbs:
    """The cookies given out, each with its crumb. Thread-safe."""

    def __init__(self) -> None:
        self._crumb_of: dict[str, str] = {}
        self._lock = threading.Lock()

    def new_cookie(self) -> str:
        """Return a new A3 cookie's value."""
        cookie = f"d=AQABB{secrets.token_urlsafe(18)}"
        with self._lock:
            self._crumb_of[cookie] = _new_crumb()
        return cookie

    def crumb_of(self, cookie: str | None) -> str | None:
        """Return the crumb of a cookie, None if no such cookie was given out."""
        return self._crumb_of.get(cookie or "")

    def accepts(self, cookie: str | None, crumb: str | None) -> bool:
        """Say whether the crumb is the one of the cookie."""
        return crumb is not None and crumb == self.crumb_of(cookie)

    def expire(self) -> None:
        """Make every crumb given out so far invalid; the cookies stay."""
        with self._lock:
            self._crumb_of = {cookie: _new_crumb() for cookie in self._crumb_of}


def set_cookie_header(cookie: str) -> str:
    """Return the Set-Cookie of an A3 cookie; unlike Yahoo's without Secure, for it must travel over plain HTTP."""
    return f"A3={cookie}; Domain=.yahoo.com; Path=/; Max-Age={_COOKIE_DAYS * 86400}; HttpOnly; SameSite=Lax"


def _new_crumb() -> str:
    return secrets.token_urlsafe(8)
