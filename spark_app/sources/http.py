"""HTTP, and the only way to send it: every request, redirects included, takes a slot of the limiter first.

No body is read beyond a limit, neither as it is sent nor decompressed.
"""

from __future__ import annotations

import datetime as dt
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from curl_cffi import CurlECode, CurlOpt
from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import RequestException

from spark_app.errors import RateLimitedError, SparkAppError
from spark_app.sources.bodies import RAW_TEXT_CHARS, FetchError
from spark_app.sources.contract import CLOCK_TOLERANCE, Limiter, Outcome, utc_now

LARGEST_BODY_BYTES = 8 * 2**20
"""A chart of 30 years is 1 MB of JSON, the quotes of 50 tickers 0.1 MB, a workbook 0.05 to 0.2 MB."""

_LONGEST_RETRY_AFTER_SECONDS = 86_400.0
"""A day: what lasts longer is a mistake, or shows again at the next request."""

_RATE_LIMIT_STATUSES = (429, 999)
_REDIRECT_STATUSES = (301, 302, 303, 307, 308)
_BODY_ARGUMENTS = ("data", "json", "content")
_MAX_HOPS = 6


class LimitedSession(Session[Response]):
    """A browser-like session whose requests, redirects included, each take one slot of the limiter.

    With `endpoint` every request goes, unencrypted, to that forward proxy, and none reaches the real
    hosts. Without it the usual proxy and certificate variables of the environment apply.

    Attributes: `limiter`, replaceable between tasks; `requests_sent` and `seconds_spent` (without
    the limiter's waiting) of the session; `last_response`, None after a broken connection.
    """

    def __init__(self, limiter: Limiter, *, endpoint: str | None = None, timeout_seconds: float = 20.0) -> None:
        # On a reused connection that the server has closed libcurl sends the request again, past the
        # limiter. With seconds between two requests the cost of a handshake does not matter.
        options: dict[CurlOpt, Any] = {CurlOpt.FRESH_CONNECT: 1, CurlOpt.FORBID_REUSE: 1}
        # Of the body as it is sent; `_Body` limits the decompressed one.
        options[CurlOpt.MAXFILESIZE_LARGE] = LARGEST_BODY_BYTES
        if endpoint is not None:
            options[CurlOpt.NOPROXY] = ""
        super().__init__(
            impersonate="chrome",
            proxies={"http": endpoint, "https": endpoint} if endpoint else None,
            curl_options=options,
        )
        self.limiter = limiter
        self.requests_sent = 0
        self.seconds_spent = 0.0
        self.last_response: Response | None = None
        self._is_plain = endpoint is not None
        self._timeout_seconds = timeout_seconds

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
        """Send a request and follow its redirects.

        Raises: RateLimitedError if the limiter blocks or the server answers with a rate limit;
        ServiceUnavailableError if the limiter's database does not respond. FetchError if the body is too
        large, or this machine's clock is ahead of the server's. OSError if the connection fails.
        """
        # yfinance waits 30 s for each cookie and crumb, whatever the timeout of the request itself.
        kwargs |= {"allow_redirects": False, "timeout": self._timeout_seconds}
        for _ in range(_MAX_HOPS):
            response = self._send(method, url, *args, **kwargs)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECT_STATUSES or not location:
                break
            url = urljoin(url, location)
            kwargs.pop("params", None)
            if response.status_code < 307:
                method = "GET"
                kwargs = {name: value for name, value in kwargs.items() if name not in _BODY_ARGUMENTS}
        return response

    def raw_text(self) -> str | None:
        """Return the start of the last body, as a text that any text column can store."""
        if self.last_response is None:
            return None
        text = self.last_response.content[: 4 * RAW_TEXT_CHARS].decode("utf-8", errors="replace")
        return text[:RAW_TEXT_CHARS].replace("\x00", "\ufffd") or None

    def _send(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
        self.last_response = None
        self.limiter.acquire()
        self.requests_sent += 1
        started = time.perf_counter()
        body = _Body()
        kwargs["content_callback"] = body.append
        try:
            response = super().request(method, self._spelled(url), *args, **kwargs)
        except RequestException as error:
            if error.code == CurlECode.FILESIZE_EXCEEDED:
                raise _too_large() from error
            raise
        finally:
            self.seconds_spent += time.perf_counter() - started
        response.content = body.content()
        self.last_response = response
        if _is_rate_limit(response):
            message = f"{urlsplit(url).hostname} answered with a rate limit (status {response.status_code})"
            raise self._reported(message, _retry_after_seconds(response.headers.get("retry-after")))
        _require_clock(response, urlsplit(url).hostname or url)
        return response

    def _reported(self, message: str, retry_after_seconds: float) -> RateLimitedError:
        try:
            self.limiter.report_rate_limit(message, retry_after_seconds=retry_after_seconds)
        except SparkAppError as error:
            # This worker stops all the same, and a limiter without its database gives the others no slot either.
            return RateLimitedError(f"{message}; the other workers could not be blocked: {error}")
        return RateLimitedError(message)

    def _spelled(self, url: str) -> str:
        return "http://" + url.removeprefix("https://") if self._is_plain and url.startswith("https://") else url


def _is_rate_limit(response: Response) -> bool:
    # Yahoo's edge has also sent this text with status 200.
    has_text = b"too many requests" in response.content[:RAW_TEXT_CHARS].lower()
    return response.status_code in _RATE_LIMIT_STATUSES or has_text


def _require_clock(response: Response, host: str) -> None:
    """Compare this machine's clock with that of the server, where its answer has a time.

    With a clock that is ahead, the bar of a session that is not over would count as complete, and what is fetched until
    it is set right as newer than what is fetched afterwards.

    Raises: FetchError: it is more than an hour ahead.
    """
    try:
        # A cache between says how old its copy is.
        age = dt.timedelta(seconds=int(response.headers.get("age") or 0))
        sent_at = _http_date(response.headers.get("date") or "") + age
    except (TypeError, ValueError, OverflowError):
        return
    ahead = utc_now() - sent_at
    if ahead > CLOCK_TOLERANCE:
        raise FetchError(
            Outcome.TRANSIENT,
            f"the clock of this machine is {ahead / dt.timedelta(hours=1):.1f} hours ahead of {host}, "
            f"whose answer is of {sent_at:%Y-%m-%d %H:%M} UTC: set it right",
        )


class _Body:
    """A decompressed body; `append` raises FetchError as soon as it is too large."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def append(self, part: bytes) -> int:
        self._size += len(part)
        if self._size > LARGEST_BODY_BYTES:
            raise _too_large()
        self._parts.append(part)
        return len(part)

    def content(self) -> bytes:
        return b"".join(self._parts)


def _too_large() -> FetchError:
    return FetchError(Outcome.MALFORMED, f"the answer is larger than {LARGEST_BODY_BYTES // 2**20} MB")


def _retry_after_seconds(header: str | None) -> float:
    """Return for how long a server asks to wait, at most a day: seconds or an HTTP date, 0 for anything else."""
    text = (header or "").strip()
    try:
        seconds = float(text) if text.isdecimal() else (_http_date(text) - utc_now()).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def _http_date(text: str) -> dt.datetime:
    date = parsedate_to_datetime(text)
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)
