"""Answers and their JSON shapes: errors, quoteSummary and quotes. Charts stand in charts.py."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.market import Market, Quote, Snapshot

JSON_TYPE = "application/json;charset=utf-8"
TEXT_TYPE = "text/plain;charset=utf-8"
HTML_TYPE = "text/html;charset=utf-8"
YAHOO_TOP_HOLDINGS = 10
MAX_SYMBOLS = 99


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(payload: Any, status: int = 200) -> Answer:
    """Answer with JSON, without blanks as Yahoo writes it."""
    return Answer(status, json.dumps(payload, separators=(",", ":")).encode(), JSON_TYPE)


def text_answer(text: str, status: int = 200) -> Answer:
    """Answer with plain text."""
    return Answer(status, text.encode(), TEXT_TYPE)


def html_answer(status: int, text: str) -> Answer:
    """Answer with a page, as Yahoo's edge servers do when something is wrong."""
    return Answer(status, f"<!DOCTYPE html><html><body>{text}</body></html>".encode(), HTML_TYPE)


def error_answer(status: int, root: str, code: str, description: str) -> Answer:
    """Answer with Yahoo's error JSON under `root` (chart, quoteSummary, finance)."""
    return json_answer({root: {"result": None, "error": {"code": code, "description": description}}}, status)


def rate_limit_answer() -> Answer:
    """Answer 429 as Yahoo's edge does: text, not JSON."""
    return text_answer("Edge: Too Many Requests", 429)


def invalid_crumb_answer(what: str = "Crumb") -> Answer:
    """Answer 401 as Yahoo does without the crumb that belongs to the cookie."""
    return error_answer(401, "finance", "Unauthorized", f"Invalid {what}")


def summary_answer(market: Market, ticker: str, modules: Iterable[str]) -> Answer:
    """Answer v10/finance/quoteSummary; only funds have topHoldings and fundProfile."""
    modules = tuple(modules)
    if not market.knows(ticker):
        return error_answer(404, "quoteSummary", "Not Found", f"Quote not found for symbol: {ticker}")
    known = _summary(market, ticker)
    result = {module: known[module] for module in modules if module in known}
    if not result:
        reason = f"No fundamentals data found for any of the summaryTypes={','.join(modules)}"
        return error_answer(404, "quoteSummary", "Not Found", reason)
    return json_answer({"quoteSummary": {"result": [result], "error": None}})


def _summary(market: Market, ticker: str) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "quoteType": {
            "exchange": "PCX",
            "quoteType": market.quote_type(ticker),
            "symbol": ticker,
            "underlyingSymbol": ticker,
            "timeZoneFullName": "America/New_York",
            "maxAge": 1,
        },
        "summaryProfile": {"companyOfficers": [], "executiveTeam": [], "maxAge": 86400},
    }
    if ticker in market.holdings:
        summary["topHoldings"] = _top_holdings(market.holdings[ticker])
        summary["fundProfile"] = _fund_profile()
    return summary


def _top_holdings(snapshot: Snapshot) -> dict[str, Any]:
    shares = sorted((h for h in snapshot.holdings if h.is_share), key=lambda h: -h.percent)
    stock_frac = round(sum(share.percent for share in shares) / 100, 6)
    return {
        "maxAge": 1,
        "cashPosition": round(1 - stock_frac, 6),
        "stockPosition": stock_frac,
        "bondPosition": 0,
        "otherPosition": 0,
        "preferredPosition": 0,
        "convertiblePosition": 0,
        "holdings": [
            {
                "symbol": share.ticker.replace(".", "-"),
                "holdingName": share.name,
                "holdingPercent": round(share.percent / 100, 9),
            }
            for share in shares[:YAHOO_TOP_HOLDINGS]
        ],
        "equityHoldings": {
            "priceToEarnings": 0.02938,
            "priceToBook": 0.12608,
            "priceToSales": 0.17008,
            "priceToCashflow": 0.04314,
        },
        "bondHoldings": {},
        "bondRatings": [{"us_government": 0}],
        "sectorWeightings": [],
    }


def _fund_profile() -> dict[str, Any]:
    fees = {"annualReportExpenseRatio": 0.0008, "annualHoldingsTurnover": 0.05, "totalNetAssets": 521778.34}
    return {
        "maxAge": 1,
        "family": "SPDR State Street Global Advisors",
        "categoryName": None,
        "legalType": "Exchange Traded Fund",
        "managementInfo": {"managerName": None, "managerBio": None},
        "feesExpensesInvestment": {**fees, "projectionValues": {}},
        "feesExpensesInvestmentCat": {**fees, "projectionValuesCat": {}},
        "brokerages": [],
    }


def quotes_answer(market: Market, symbols: tuple[str, ...]) -> Answer:
    """Answer v7/finance/quote: unknown symbols are absent; beyond 99 symbols 429, as seen in 2025."""
    if len(symbols) > MAX_SYMBOLS:
        return rate_limit_answer()
    known = [_quote(symbol, market.quotes[symbol]) for symbol in symbols if symbol in market.quotes]
    return json_answer({"quoteResponse": {"result": known, "error": None}})


def _quote(symbol: str, quote: Quote) -> dict[str, Any]:
    fields = {
        "language": "en-US",
        "region": "US",
        "quoteType": quote.quote_type,
        "quoteSourceName": "Nasdaq Real Time Price",
        "triggerable": True,
        "currency": quote.currency,
        "shortName": quote.short_name,
        "longName": quote.long_name,
        "marketState": "CLOSED",
        "exchange": "NMS",
        "fullExchangeName": "NasdaqGS",
        "exchangeTimezoneName": "America/New_York",
        "market": "us_market",
        "regularMarketPrice": quote.price,
        "regularMarketTime": int(quote.quoted_at.timestamp()),
        "marketCap": quote.market_cap,
        "priceHint": 2,
        "tradeable": False,
        "symbol": symbol,
    }
    return {name: value for name, value in fields.items() if value is not None}
