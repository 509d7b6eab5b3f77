"""An explanation as text and as JSON."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal

from spark_app.results.explain.explain import Explanation
from spark_app.results.explain.facts import Close, Fetch
from spark_app.results.explain.returns import PeriodReturn
from spark_app.results.explain.rules import percent, signed
from spark_app.text_table import data_mark, draw_table, printable

_SHOWN_DIFFERENCE = Decimal("0.0001")
"""Served prices have 6 decimals, staged ones more: smaller differences of returns, in percent, are rounding."""


def render_explanation(found: Explanation) -> str:
    """Draw an explanation: the verdict, rules, returns, closes with their fetches, then a line for each other fact."""
    verdict = found.verdict
    if found.name is not None and found.kind != "sector":
        verdict = verdict.replace(found.ticker, f"{found.ticker} ({found.name})", 1)
    parts = [
        data_mark(is_synthetic=found.origin == "synthetic"),
        printable(verdict),
        draw_table(("rule", "", "why"), [(r.name, "met" if r.is_met else "NOT MET", r.sentence) for r in found.rules])
        if found.rules
        else "",
        _draw_returns(found),
        _draw_closes(found),
        "\n".join(f"{name:<13}{printable(text)}" for name, text in _lines(found)),
    ]
    return "\n\n".join(part for part in parts if part)


def as_json(found: Explanation) -> str:
    """Return the explanation as a JSON object: the fields of `Explanation`; times in UTC as ISO 8601."""
    return json.dumps(asdict(found), default=_plain, indent=2)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value.astimezone(dt.UTC).isoformat() if isinstance(value, dt.datetime) else str(value)


def _draw_returns(found: Explanation) -> str:
    other = next((period.compared_with for period in found.returns if period.compared_with), "")
    rows = [
        (
            str(period.sessions),
            f"{period.start_date or 'none'} to {found.as_of_date}",
            signed(period.return_pct) + ("" if period.is_stored or period.return_pct is None else " (not stored)"),
            signed(period.compared_return_pct) if other else "",
            {True: "yes", False: "no", None: ""}[period.is_trending],
            "" if period.rank is None else str(period.rank),
        )
        for period in found.returns
    ]
    table = draw_table(("sessions", "from", "return", other or "", "trends", "rank"), rows, right={0, 2, 3, 5})
    return "\n".join([table, *(note for period in found.returns for note in _notes(period, found.as_of_date))])


def _notes(period: PeriodReturn, as_of: dt.date) -> Iterator[str]:
    """What a return does not say itself: a missing close, and closes that are other ones by now."""
    ends = ((period.start_date, period.start), (as_of, period.end))
    missing = [str(day) for day, close in ends if day is not None and close is None]
    if missing:
        yield f"{period.sessions} sessions: no close is served for {' and '.join(missing)}"
    served, stored = period.served_return_pct, period.return_pct
    if served is not None and stored is not None and abs(served - stored) > _SHOWN_DIFFERENCE:
        yield f"{period.sessions} sessions: the closes as they are served now give {signed(served)}"


def _draw_closes(found: Explanation) -> str:
    closes: dict[dt.date, Close] = {}
    for period in found.returns:
        closes |= {close.trade_date: close for close in (period.start, period.end) if close is not None}
    rows = [
        (str(day), _price(close.adj_close_price), _price(close.close_price), *_cells(close.fetch))
        for day, close in sorted(closes.items(), reverse=True)
    ]
    header = ("session", "adj. close, USD", "close, USD", "fetched", "request", "run")
    return draw_table(header, rows, right={1, 2}) if rows else ""


def _cells(fetch: Fetch) -> tuple[str, str, str]:
    asked = "not logged"
    if fetch.is_logged:
        number = "1 request" if fetch.requests == 1 else f"{fetch.requests} requests"
        asked = f"chart of {fetch.first_date} to {fetch.last_date}, {fetch.source}, {number}"
    served = "" if fetch.is_logged else " (served it)"
    return _time(fetch.fetched_at), asked, f"{fetch.run_id} {fetch.stage or ''}".strip() + served


def _lines(found: Explanation) -> Iterator[tuple[str, str]]:
    if (held := found.holdings) is not None:
        of = f"{held.etf_ticker} on {held.snapshot_date}: {held.holdings} known, {percent(held.coverage_percent)} of it"
        yield "holdings", of + (", look-ahead" if held.is_look_ahead else "") + f", {_fetched(held.fetch)}"
    if (cap := found.market_cap) is not None:
        basis = {None: "", "quoted": ", quoted", "later_quote": ", look-ahead quote"}[cap.basis]
        date = "" if cap.quote_date is None else f" of {cap.quote_date}"
        yield "market cap", f"{cap.usd:,} USD{basis}{date}" + ("" if cap.fetch is None else f", {_fetched(cap.fetch)}")
    if found.reason is not None:
        yield "stored", found.reason
    if (run := found.decision) is not None:
        yield "computed", f"{_time(run.finished_at or run.started_at)} by {run.stage}, run {run.run_id}"
    for restated in found.restatements:
        ratio = "" if restated.ratio is None else f", ratio {restated.ratio.normalize():f}"
        span = f"{restated.first_trade_date} to {restated.last_trade_date}"
        yield "restated", f"{restated.ticker} {span}: {restated.kind}{ratio}, noticed {_time(restated.noticed_at)}"
    if found.decision is not None and not found.restatements:
        yield "restated", "nothing since"


def _fetched(fetch: Fetch) -> str:
    by = f"by {fetch.stage or 'run'} {fetch.run_id}" if fetch.is_logged else f"served by run {fetch.run_id}"
    return f"fetched {_time(fetch.fetched_at)} {by}"


def _price(price: Decimal) -> str:
    return f"{price:,.6f}"


def _time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
