"""Two clients of the emulator: the real yfinance, and plain HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yfinance as yf
from curl_cffi import CurlOpt
from curl_cffi import requests as curl
from yfinance.data import YfData


class LoopbackSession(curl.Session[curl.Response]):
    """Sends https requests as plain http to a forward proxy, which so sees all of them."""

    def __init__(self, proxy_url: str) -> None:
        proxies: curl.ProxySpec = {"http": proxy_url, "https": proxy_url}
        super().__init__(impersonate="chrome", proxies=proxies, curl_options={CurlOpt.NOPROXY: ""})

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(method, url.replace("https://", "http://", 1), *args, **kwargs)


class CookieMemory(dict[str, Any]):
    """yfinance's cookie cache without its files."""

    def store(self, key: str, value: Any) -> None:
        self[key] = value

    def lookup(self, key: str) -> Any:
        return {"cookie": self[key], "age": None} if key in self else None


@dataclass(frozen=True)
class YahooClient:
    """yfinance as the pipeline uses it: one session, timezone known, errors raised."""

    session: LoopbackSession

    def ticker(self, symbol: str) -> yf.Ticker:
        """Return a Ticker whose timezone need not be asked."""
        ticker = yf.Ticker(symbol, session=self.session)
        ticker._tz = "America/New_York"
        return ticker

    def history(self, symbol: str, start: str, end: str) -> Any:
        """Ask for a chart, without answers remembered from before."""
        YfData.cache_get.cache_clear()
        return self.ticker(symbol).history(start=start, end=end, auto_adjust=False, timeout=5)

    def quotes(self, *symbols: str) -> dict[str, Any]:
        """Ask v7/finance/quote through yfinance's own cookie and crumb."""
        url = "https://query1.finance.yahoo.com/v7/finance/quote"
        answer = YfData(session=self.session).get_raw_json(url, params={"symbols": ",".join(symbols)})
        return {row["symbol"]: row for row in answer["quoteResponse"]["result"]}


@dataclass(frozen=True)
class Reply:
    """One plain HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Get = Callable[..., Reply]
