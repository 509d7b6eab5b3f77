"""The files that `import_files` reads, and their columns; docs/FILES.md documents them."""

from __future__ import annotations

from dataclasses import dataclass

from spark_app.sources.bodies import LARGEST_DIVIDEND, LARGEST_LONG, LARGEST_SPLIT
from spark_app.transforms.file_rows import FileColumn, Kind

_LARGEST_PRICE = 1e12
_SMALLEST_PRICE = 1e-6


@dataclass(frozen=True)
class FileLayout:
    """A file: its name without `.csv` or `.parquet`, its columns, and those that no two rows may share.

    `session_column` names the column whose date must be a completed session, "" for none.
    """

    name: str
    columns: tuple[FileColumn, ...]
    key: tuple[str, ...]
    session_column: str = ""


def _optional(name: str, kind: Kind, limits: tuple[float, float] | None = None) -> FileColumn:
    return FileColumn(name, kind, is_needed=False, may_be_empty=True, limits=limits)


_TICKER = FileColumn("ticker", Kind.TICKER)
_EX_DATE = FileColumn("ex_date", Kind.DATE)

BARS_FILE = FileLayout(
    "bars",
    (
        _TICKER,
        FileColumn("trade_date", Kind.DATE),
        FileColumn("close_price", Kind.NUMBER),
        # A bar that lacks a value of a column that the file has is rejected by the rules of bars.
        *(_optional(name, Kind.NUMBER) for name in ("open_price", "high_price", "low_price", "adj_close_price")),
        _optional("volume", Kind.WHOLE),
    ),
    ("ticker", "trade_date"),
    session_column="trade_date",
)
SPLITS_FILE = FileLayout(
    "splits",
    (_TICKER, _EX_DATE, FileColumn("split_ratio", Kind.NUMBER, limits=(1 / LARGEST_SPLIT, LARGEST_SPLIT))),
    ("ticker", "ex_date"),
)
DIVIDENDS_FILE = FileLayout(
    "dividends",
    (_TICKER, _EX_DATE, FileColumn("dividend", Kind.NUMBER, limits=(0, LARGEST_DIVIDEND))),
    ("ticker", "ex_date"),
)
HOLDINGS_FILE = FileLayout(
    "holdings",
    (
        FileColumn("etf_ticker", Kind.TICKER),
        FileColumn("snapshot_date", Kind.DATE),
        # Whether a row is a share is decided as for the rows of an issuer: cash has no ticker.
        FileColumn("holding_ticker", Kind.TEXT, may_be_empty=True),
        FileColumn("holding_percent", Kind.NUMBER, may_be_empty=True),
        _optional("holding_name", Kind.TEXT),
    ),
    ("etf_ticker", "snapshot_date", "holding_ticker"),
)
QUOTES_FILE = FileLayout(
    "quotes",
    (
        _TICKER,
        FileColumn("quote_date", Kind.DATE),
        FileColumn("market_cap", Kind.WHOLE, limits=(1, LARGEST_LONG)),
        FileColumn("price", Kind.NUMBER, may_be_empty=True, limits=(_SMALLEST_PRICE, _LARGEST_PRICE)),
        _optional("company_name", Kind.TEXT),
    ),
    ("ticker", "quote_date"),
    session_column="quote_date",
)
INDEX_MEMBERSHIP_FILE = FileLayout(
    "index_membership",
    (
        _TICKER,
        FileColumn("start_date", Kind.DATE),
        FileColumn("end_date", Kind.DATE, may_be_empty=True),
    ),
    ("ticker", "start_date"),
)
LAYOUTS = {
    layout.name: layout
    for layout in (BARS_FILE, SPLITS_FILE, DIVIDENDS_FILE, HOLDINGS_FILE, QUOTES_FILE, INDEX_MEMBERSHIP_FILE)
}
"""The files by name; each is optional."""
