from __future__ import annotations

import datetime as dt
import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from curl_cffi.requests.exceptions import RequestException, Timeout

from spark_app.errors import RateLimitedError, ServiceUnavailableError
from spark_app.sources import http
from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import Outcome
from spark_app.sources.http import LimitedSession

Reply = tuple[int, dict[str, str], bytes]


class CountingLimiter:
    """Counts without ever closing, not even after a report."""

    def __init__(self) -> None:
        self.slots = 0
        self.reports: list[str] = []
        self.retry_after_seconds: list[float] = []

    def acquire(self) -> None:
        self.slots += 1

    def report_rate_limit(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        self.reports.append(message)
        self.retry_after_seconds.append(retry_after_seconds)


class Server(ThreadingHTTPServer):
    """Answers with `reply(path)`, as a server or a forward proxy, and records the requests."""

    def __init__(self, reply: Callable[[str], Reply | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path} {body.decode()}".rstrip())
        reply = self.server.reply(self.path)
        if reply is None:
            self.close_connection = True
            return
        status, headers, body = reply
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        # The client closes the connection in the middle of a body that is too large.
        with suppress(ConnectionError):
            self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(reply: Callable[[str], Reply | None]) -> Iterator[Server]:
    with Server(reply) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_each_request_takes_a_slot_and_is_counted() -> None:
    limiter = CountingLimiter()
    with serving(lambda path: (200, {}, b"fine")) as server, LimitedSession(limiter) as session:
        for _ in range(3):
            assert session.get(server.url + "/a").text == "fine"
        assert (limiter.slots, session.requests_sent, len(server.asked)) == (3, 3, 3)
        assert session.seconds_spent > 0
        assert session.raw_text() == "fine"


@pytest.mark.parametrize(
    ("status", "second"),
    [(301, "GET /b?x=1"), (302, "GET /b?x=1"), (303, "GET /b?x=1"), (307, "POST /b?x=1 k=v"), (308, "POST /b?x=1 k=v")],
)
def test_each_hop_of_a_redirect_takes_a_slot(status: int, second: str) -> None:
    limiter = CountingLimiter()

    def reply(path: str) -> Reply:
        return (status, {"Location": "/b?x=1"}, b"") if path.startswith("/a") else (200, {}, b"there")

    with serving(reply) as server, LimitedSession(limiter) as session:
        response = session.post(server.url + "/a", params={"q": "1"}, data={"k": "v"}, allow_redirects=True)
        assert server.asked == ["POST /a?q=1 k=v", second]
    assert (response.text, limiter.slots) == ("there", 2)


def test_a_redirect_loop_ends() -> None:
    with serving(lambda path: (302, {"Location": "/again"}, b"")) as server:
        with LimitedSession(CountingLimiter()) as session:
            assert session.get(server.url).status_code == 302
        assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("status", "body"),
    [(429, b""), (999, b"denied"), (200, b"Edge: Too Many Requests"), (503, b"Too Many Requests\r\n")],
)
def test_a_rate_limit_is_reported_and_ends_the_call(status: int, body: bytes) -> None:
    limiter = CountingLimiter()
    with serving(lambda path: (status, {}, body)) as server, LimitedSession(limiter) as session:
        with pytest.raises(RateLimitedError, match=r"127.0.0.1 answered with a rate limit"):
            session.get(server.url)
        assert len(server.asked) == 1
    assert len(limiter.reports) == 1


def test_a_rate_limit_behind_a_redirect_counts() -> None:
    limiter = CountingLimiter()

    def reply(path: str) -> Reply:
        return (302, {"Location": "/b"}, b"") if path == "/a" else (429, {}, b"")

    with serving(reply) as server, LimitedSession(limiter) as session, pytest.raises(RateLimitedError):
        session.get(server.url + "/a")
    assert len(limiter.reports) == 1


def test_a_rate_limit_ends_the_call_even_where_it_cannot_be_reported() -> None:
    class BrokenLimiter(CountingLimiter):
        def report_rate_limit(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
            raise ServiceUnavailableError("cannot reach PostgreSQL")

    with serving(lambda path: (429, {}, b"")) as server, LimitedSession(BrokenLimiter()) as session:
        with pytest.raises(RateLimitedError, match="status 429.*could not be blocked: cannot reach PostgreSQL"):
            session.get(server.url)
        assert len(server.asked) == 1


def seconds_reported_for(retry_after: str | None) -> float:
    limiter, headers = CountingLimiter(), {} if retry_after is None else {"Retry-After": retry_after}
    reply = (429, headers, b"")
    with serving(lambda path: reply) as server, LimitedSession(limiter) as session, pytest.raises(RateLimitedError):
        session.get(server.url)
    (seconds,) = limiter.retry_after_seconds
    return seconds


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (None, 0),
        ("7200", 7200),
        ("0", 0),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("99999999999999", 86_400),
        ("9" * 400, 86_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
    ],
)
def test_the_time_that_a_server_asks_for_is_reported(retry_after: str | None, expected: float) -> None:
    assert seconds_reported_for(retry_after) == expected


def test_the_time_may_be_a_date() -> None:
    in_two_hours = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    assert 7100 < seconds_reported_for(format_datetime(in_two_hours, usegmt=True)) <= 7200


@pytest.mark.parametrize(
    ("hours", "headers", "ahead"),
    [
        (24, {}, "24.0"),
        (24 * 365, {}, "8760.0"),
        (1.1, {}, "1.1"),
        (0.9, {}, None),
        (-24 * 365, {}, None),
        # A copy of a cache, which says how old it is.
        (24, {"Age": "85000"}, None),
        (24, {"Age": "x"}, None),
    ],
)
def test_an_answer_is_refused_while_the_clock_of_this_machine_is_ahead(
    monkeypatch: pytest.MonkeyPatch, hours: float, headers: dict[str, str], ahead: str | None
) -> None:
    skewed = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    monkeypatch.setattr(http, "utc_now", lambda: skewed)
    with serving(lambda path: (200, headers, b"fine")) as server, LimitedSession(CountingLimiter()) as session:
        if ahead is None:
            assert session.get(server.url).text == "fine"
            return
        said = (
            rf"^the clock of this machine is {ahead} hours ahead of 127.0.0.1, whose answer is of .* UTC: set it right$"
        )
        with pytest.raises(FetchError, match=said) as caught:
            session.get(server.url)
    assert (caught.value.outcome, caught.value.may_pass) == (Outcome.TRANSIENT, False)


LARGEST = 8 * 1024 * 1024


@pytest.mark.parametrize(
    "body", [b"x" * (LARGEST + 1), gzip.compress(b"x" * (LARGEST + 1))], ids=["as it is sent", "decompressed"]
)
def test_a_body_that_is_too_large_is_malformed_and_the_next_request_works(body: bytes) -> None:
    def reply(path: str) -> Reply:
        encoding = {"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
        return (200, encoding, body) if path == "/large" else (200, {}, b"small")

    with serving(reply) as server, LimitedSession(CountingLimiter()) as session:
        with pytest.raises(FetchError, match="^the answer is larger than 8 MB$") as caught:
            session.get(server.url + "/large")
        assert (caught.value.outcome, caught.value.may_pass) == (Outcome.MALFORMED, False)
        assert session.raw_text() is None
        assert session.get(server.url + "/small").text == "small"


def test_a_body_of_the_largest_size_is_read_whole() -> None:
    body = b"x" * LARGEST
    reply = (200, {"Content-Encoding": "gzip"}, gzip.compress(body))
    with serving(lambda path: reply) as server, LimitedSession(CountingLimiter()) as session:
        assert session.get(server.url).content == body


def test_nothing_is_sent_without_a_slot() -> None:
    class ClosedLimiter(CountingLimiter):
        def acquire(self) -> None:
            raise RateLimitedError("not before noon")

    with serving(lambda path: (200, {}, b"")) as server, LimitedSession(ClosedLimiter()) as session:
        with pytest.raises(RateLimitedError, match="not before noon"):
            session.get(server.url)
        assert (server.asked, session.requests_sent) == ([], 0)


def test_a_broken_connection_is_not_retried_silently() -> None:
    """libcurl would send the second request twice on the connection of the first."""
    with serving(lambda path: (200, {}, b"ok") if path == "/1" else None) as server:
        with LimitedSession(CountingLimiter()) as session:
            session.get(server.url + "/1")
            with pytest.raises(RequestException):
                session.get(server.url + "/2")
            assert session.last_response is None
        assert server.asked == ["GET /1", "GET /2"]


def test_with_an_endpoint_everything_goes_there_in_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving(lambda path: (200, {}, b"proxied")) as server:
        with LimitedSession(CountingLimiter(), endpoint=server.url) as session:
            response = session.get("https://query2.finance.yahoo.com/v8/finance/chart/SPY", params={"a": "1"})
        assert response.text == "proxied"
        assert server.asked == ["GET http://query2.finance.yahoo.com/v8/finance/chart/SPY?a=1"]


def test_a_redirect_to_https_stays_with_the_endpoint() -> None:
    def reply(path: str) -> Reply:
        is_first = path.startswith("http://a.example")
        return (302, {"Location": "https://b.example/x"}, b"") if is_first else (200, {}, b"proxied")

    with serving(reply) as server, LimitedSession(CountingLimiter(), endpoint=server.url) as session:
        assert session.get("https://a.example/").text == "proxied"
        assert server.asked == ["GET http://a.example/", "GET http://b.example/x"]


def test_without_an_endpoint_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda path: (200, {}, b"company proxy")) as server:
        monkeypatch.setenv("http_proxy", server.url)
        with LimitedSession(CountingLimiter()) as session:
            assert session.get("http://somewhere.example/x").text == "company proxy"


def test_the_certificates_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/company-ca.pem")
    verify: bool | str = LimitedSession(CountingLimiter()).verify
    assert verify == "/nowhere/company-ca.pem"


def test_the_timeout_of_the_settings_beats_the_callers() -> None:
    def reply(path: str) -> Reply:
        released.wait(5)
        return (200, {}, b"late")

    released = threading.Event()
    with serving(reply) as server:
        with LimitedSession(CountingLimiter(), timeout_seconds=0.2) as session, pytest.raises(Timeout):
            session.get(server.url, timeout=30)
        released.set()


def test_raw_text_is_short_and_fit_for_a_text_column() -> None:
    with (
        serving(lambda path: (200, {}, b"\x00\xff" + b"x" * 9000)) as server,
        LimitedSession(CountingLimiter()) as session,
    ):
        session.get(server.url)
        text = session.raw_text()
    assert text is not None
    assert (len(text), text[:3]) == (2000, "\ufffd\ufffdx")
