"""Which request gets which answer while nothing is wrong."""

from __future__ import annotations

from tests.emulator import bodies
from tests.emulator.bodies import Answer
from tests.emulator.charts import Price, chart_answer
from tests.emulator.crumbs import Crumbs, set_cookie_header
from tests.emulator.log import Request
from tests.emulator.market import Market
from tests.emulator.workbooks import CONTENT_TYPE, workbook_bytes

_CONSENT_PAGE = (
    '<form method="post" action="https://consent.yahoo.com/v2/collectConsent">'
    '<input type="hidden" name="csrfToken" value="t0ken"><input type="hidden" name="sessionId" value="3_cc-session">'
    "</form>"
)


def answer_request(request: Request, market: Market, crumbs: Crumbs, price: Price) -> Answer:
    """Answer as Yahoo or the issuer would."""
    match request.kind:
        case "chart":
            return chart_answer(market, request.tickers[0], request.query, price)
        case "holdings" | "quote":
            return _crumbed_answer(request, market, crumbs)
        case "cookie":
            return _with_cookie(bodies.html_answer(404, "Not Found"), crumbs)
        case "crumb":
            crumb = crumbs.crumb_of(request.cookie)
            return bodies.text_answer(crumb) if crumb else bodies.invalid_crumb_answer("Cookie")
        case "consent":
            return _consent_answer(request, crumbs)
        case "workbook":
            return _workbook_answer(request.tickers[0], market)
        case _:
            return bodies.html_answer(404, "Not Found")


def _crumbed_answer(request: Request, market: Market, crumbs: Crumbs) -> Answer:
    if not crumbs.accepts(request.cookie, request.crumb):
        return bodies.invalid_crumb_answer()
    if request.kind == "quote":
        return bodies.quotes_answer(market, request.tickers)
    return bodies.summary_answer(market, request.tickers[0], request.query.get("modules", "").split(","))


def _consent_answer(request: Request, crumbs: Crumbs) -> Answer:
    match request.method, request.path:
        case "GET", "/consent":
            return bodies.html_answer(200, _CONSENT_PAGE)
        case "POST", "/v2/collectConsent":
            return bodies.html_answer(200, "")
        case "GET", "/copyConsent":
            return _with_cookie(bodies.html_answer(200, ""), crumbs)
        case _:
            return bodies.html_answer(404, "Not Found")


def _with_cookie(answer: Answer, crumbs: Crumbs) -> Answer:
    return Answer(
        answer.status, answer.body, answer.content_type, {"Set-Cookie": set_cookie_header(crumbs.new_cookie())}
    )


def _workbook_answer(fund: str, market: Market) -> Answer:
    if fund not in market.holdings:
        return bodies.html_answer(404, "Page not found")
    return Answer(200, workbook_bytes(fund, market.holdings[fund]), CONTENT_TYPE)
