from __future__ import annotations

from decimal import Decimal

from pyspark.sql import DataFrame, SparkSession

from spark_app.transforms.exclusions import with_exclusion
from spark_app.transforms.options import PortfolioOptions
from tests.transforms.frames import frame, session, share_classes_frame

STOCKS = (
    "as_of_date date, ticker string, etf_ticker string, sector string, holding_percent decimal(9,6),"
    "market_cap bigint, market_cap_unavailable_reason string, return_5d decimal(14,6),"
    "sector_avg_5d decimal(14,6), is_trending_5d boolean, unavailable_reason_5d string"
)
TOP_TWO = PortfolioOptions(basis_sessions=5, top_n_per_sector=2)


def _stock(
    ticker: str,
    gain: str | None,
    *,
    fund: str = "XLC",
    percent: str = "1",
    cap: int | None = 100,
    day: int = 5,
) -> tuple[object, ...]:
    is_trending = gain is not None and Decimal(gain) > 1
    no_cap, no_return = "no quote" if cap is None else None, "no bar on 2023-05-01" if gain is None else None
    return_pct = None if gain is None else Decimal(gain)
    return (
        *(session(day), ticker, fund, f"sector of {fund}", Decimal(percent), cap, no_cap),
        *(return_pct, Decimal(1), is_trending, no_return),
    )


def _decide(
    spark: SparkSession, *stocks: tuple[object, ...], options: PortfolioOptions = TOP_TWO
) -> dict[str, tuple[str, str] | None]:
    decided = _decided(spark, *stocks, options=options)
    return {row.ticker: None if row.exclusion is None else tuple(row.exclusion) for row in decided.collect()}


def _decided(spark: SparkSession, *stocks: tuple[object, ...], options: PortfolioOptions = TOP_TWO) -> DataFrame:
    return with_exclusion(frame(spark, stocks, STOCKS), share_classes_frame(spark), options)


def _reasons(decisions: dict[str, tuple[str, str] | None]) -> dict[str, str | None]:
    return {ticker: None if exclusion is None else exclusion[0] for ticker, exclusion in decisions.items()}


def test_the_first_reason_in_order_counts(spark: SparkSession) -> None:
    actual = _decide(
        spark,
        _stock("NO-BAR", None, cap=None),
        _stock("FLAT", "1", cap=None),
        _stock("NO-CAP", "9", cap=None),
        _stock("FIRST", "5"),
        _stock("SECOND", "4"),
        _stock("THIRD", "3"),
    )
    assert actual == {
        "NO-BAR": ("missing_bars", "no bar on 2023-05-01"),
        "FLAT": ("not_trending", "1.000000 % over 5 sessions is not above the 1.000000 % of XLC"),
        "NO-CAP": ("no_market_cap", "no quote"),
        "FIRST": None,
        "SECOND": None,
        "THIRD": (
            "below_top_n",
            "number 3 of the candidates of sector of XLC by 5-session return; at most 2 are held",
        ),
    }


def test_each_sector_is_ranked_by_itself_and_ties_go_by_ticker(spark: SparkSession) -> None:
    actual = _decide(
        spark,
        *[_stock(ticker, "5") for ticker in ("C", "A", "B")],
        *[_stock(ticker, "5", fund="XLK") for ticker in ("F", "D", "E")],
    )
    assert _reasons(actual) == {"A": None, "B": None, "C": "below_top_n", "D": None, "E": None, "F": "below_top_n"}


def test_the_class_with_the_larger_fund_weight_is_kept_and_frees_no_rank(spark: SparkSession) -> None:
    # GOOG has the larger return, GOOGL the larger weight; META and NFLX compete for the place that is left.
    actual = _decide(
        spark,
        _stock("GOOG", "9", percent="3"),
        _stock("GOOGL", "8", percent="3.000001"),
        _stock("META", "7"),
        _stock("NFLX", "6"),
    )
    assert actual["GOOG"] == ("duplicate_issuer", "Alphabet is held through GOOGL")
    assert _reasons(actual) == {"GOOG": "duplicate_issuer", "GOOGL": None, "META": None, "NFLX": "below_top_n"}


def test_of_equally_heavy_classes_the_first_by_ticker_is_kept(spark: SparkSession) -> None:
    actual = _decide(spark, _stock("FOXA", "9"), _stock("FOX", "8"))
    assert _reasons(actual) == {"FOX": None, "FOXA": "duplicate_issuer"}


def test_a_class_is_a_duplicate_only_of_one_without_an_exclusion(spark: SparkSession) -> None:
    actual = _decide(spark, _stock("GOOG", "9", percent="3"), _stock("GOOGL", "0.5", percent="4"))
    assert _reasons(actual) == {"GOOG": None, "GOOGL": "not_trending"}


def test_share_classes_are_valid_on_their_dates_only(spark: SparkSession) -> None:
    # LEN and LEN-B always, DISCA and DISCK until 2022-04-11 (exclusive).
    stocks = [_stock(ticker, "9") for ticker in ("DISCA", "DISCK")]
    assert set(_reasons(_decide(spark, *stocks)).values()) == {None}


def test_dates_do_not_mix(spark: SparkSession) -> None:
    stocks = [_stock(t, "9", day=day) for day, t in ((5, "GOOG"), (6, "GOOGL"), (5, "A"), (6, "B"), (6, "C"))]
    assert set(_decide(spark, *stocks[:4]).values()) == {None}
    assert _reasons(_decide(spark, *stocks))["GOOGL"] == "below_top_n"


def test_an_empty_universe_keeps_the_schema(spark: SparkSession) -> None:
    decided = with_exclusion(frame(spark, [], STOCKS), share_classes_frame(spark), TOP_TWO)
    given = frame(spark, [], STOCKS)
    assert decided.dtypes == [*given.dtypes, ("exclusion", "struct<reason:string,detail:string>")]
    assert decided.collect() == []
