"""The HTTP session that yfinance uses, and the set-up of yfinance itself.

yfinance is one client per process (the singleton `YfData`), so there is one session per process.
Line numbers are those of yfinance 1.7.0.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import yfinance as yf
from curl_cffi.requests import Response
from yfinance import cache as yf_cache
from yfinance.data import SingletonMeta

from spark_app.sources.contract import Limiter
from spark_app.sources.http import LimitedSession
from spark_app.sources.yahoo.answers import refusal

# "Invalid Crumb": yfinance itself retries once with a new crumb (data.py:483-503).
_UNAUTHORIZED = 401


class YahooSession(LimitedSession):
    """Raises for an error status at once, and requests a cookie and a crumb only when they are needed.

    yfinance reacts to any status from 400 on by changing its cookie strategy and retrying: up to six requests for a
    ticker that does not exist. Without a cookie or crumb it requests both again before every chart, which needs
    neither.

    Attributes: `needs_crumb`, whether the next data requests need one.
    """

    def __init__(self, limiter: Limiter, *, endpoint: str | None = None, timeout_seconds: float = 20.0) -> None:
        super().__init__(limiter, endpoint=endpoint, timeout_seconds=timeout_seconds)
        self.needs_crumb = True
        self._has_asked_for_crumb = False

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
        """Send a request and follow its redirects.

        Raises: RateLimitedError, FetchError: neither is an OSError, so both pass through the handlers in yfinance
        (data.py:240-252, 448-462, 473-481). OSError for a cookie or crumb that is not needed: yfinance then continues
        without it.
        """
        if not _asks_for_data(url):
            if self._has_asked_for_crumb and not self.needs_crumb:
                raise ConnectionError("a chart needs no crumb")
            return super().request(method, url, *args, **kwargs)
        # yfinance requests a crumb before any data.
        self._has_asked_for_crumb = True
        response = super().request(method, url, *args, **kwargs)
        if response.status_code == _UNAUTHORIZED:
            self._has_asked_for_crumb = False
        elif response.status_code >= 400:
            raise refusal(response.status_code, response.content)
        return response

    def payload(self) -> Any:
        """Return the JSON of the last answer.

        Raises: FetchError for an error status; json.JSONDecodeError.
        """
        if self.last_response is None:
            raise ConnectionError("no answer")
        if self.last_response.status_code >= 400:
            raise refusal(self.last_response.status_code, self.last_response.content)
        return json.loads(self.last_response.content)


def open_yahoo_session(limiter: Limiter, *, endpoint: str | None, timeout_seconds: float) -> YahooSession:
    """Prepare yfinance in this process and return the session to hand to it.

    The process starts without a cookie and a crumb, and keeps them in memory: yfinance's SQLite
    cache is not safe with several processes, and does not work if HOME is not writable.
    """
    SingletonMeta._instances.clear()
    yf_cache._TzCacheManager._tz_cache = _MemoryCache()
    yf_cache._ISINCacheManager._isin_cache = _MemoryCache()
    yf_cache._CookieCacheManager._Cookie_cache = _MemoryCookieCache()
    # By default yfinance hides failures, which then look like "no data".
    yf.config.debug.hide_exceptions = False
    return YahooSession(limiter, endpoint=endpoint, timeout_seconds=timeout_seconds)


def _asks_for_data(url: str) -> bool:
    # fc.yahoo.com sets its cookie in an answer with status 404.
    parts = urlsplit(url)
    return (parts.hostname or "").startswith("query") and not parts.path.endswith("/getcrumb")


class _MemoryCache:
    def __init__(self) -> None:
        self._stored: dict[str, Any] = {}

    def lookup(self, key: str) -> Any:
        return self._stored.get(key)

    def store(self, key: str, value: Any) -> None:
        self._stored[key] = value


class _MemoryCookieCache(_MemoryCache):
    def lookup(self, key: str) -> dict[str, Any] | None:
        cookie = super().lookup(key)
        return None if cookie is None else {"cookie": cookie, "age": None}
