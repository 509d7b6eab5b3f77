"""The files that `import_files` reads, and their columns; docs/FILES.md documents them."""

from __future__ import annotations

from dataclasses import dataclass

from spark_app.sources.bodies import LARGEST_DIVIDEND, LARGEST_LONG, LARGEST_SPLIT
from spark_app.transforms.file_rows import FileColumn, ValueKind

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


def _optional(name: str, kind: ValueKind, limits: tuple[float, float] | None = None) -> FileColumn:
    return FileColumn(name, kind, is_needed=False, may_be_empty=True, limits=limits)


_TICKER = FileColumn("ticker", ValueKind.TICKER)
_EX_DATE = FileColumn("ex_date", ValueKind.DATE)

BARS_FILE = FileLayout(
    "bars",
    (
        _TICKER,
        FileColumn("trade_date", ValueKind.DATE),
        FileColumn("close_price", ValueKind.NUMBER),
        # A bar that lacks a value of a column that the file has is rejected by the rules of bars.
        *(_optional(name, ValueKind.NUMBER) for name in ("open_price", "high_price", "low_price", "adj_close_price")),
        _optional("volume", ValueKind.WHOLE),
    ),
    ("ticker", "trade_date"),
    session_column="trade_date",
)
SPLITS_FILE = FileLayout(
    "splits",
    (_TICKER, _EX_DATE, FileColumn("split_ratio", ValueKind.NUMBER, limits=(1 / LARGEST_SPLIT, LARGEST_SPLIT))),
    ("ticker", "ex_date"),
)
DIVIDENDS_FILE = FileLayout(
    "dividends",
    (_TICKER, _EX_DATE, FileColumn("dividend", ValueKind.NUMBER, limits=(0, LARGEST_DIVIDEND))),
    ("ticker", "ex_date"),
)
HOLDINGS_FILE = FileLayout(
    "holdings",
    (
        FileColumn("etf_ticker", ValueKind.TICKER),
        FileColumn("snapshot_date", ValueKind.DATE),
        # Whether a row is a share is decided as for the rows of an issuer: cash has no ticker.
        FileColumn("holding_ticker", ValueKind.TEXT, may_be_empty=True),
        FileColumn("holding_percent", ValueKind.NUMBER, may_be_empty=True),
        _optional("holding_name", ValueKind.TEXT),
    ),
    ("etf_ticker", "snapshot_date", "holding_ticker"),
)
QUOTES_FILE = FileLayout(
    "quotes",
    (
        _TICKER,
        FileColumn("quote_date", ValueKind.DATE),
        FileColumn("market_cap", ValueKind.WHOLE, limits=(1, LARGEST_LONG)),
        FileColumn("price", ValueKind.NUMBER, may_be_empty=True, limits=(_SMALLEST_PRICE, _LARGEST_PRICE)),
        _optional("company_name", ValueKind.TEXT),
    ),
    ("ticker", "quote_date"),
    session_column="quote_date",
)
INDEX_MEMBERSHIP_FILE = FileLayout(
    "index_membership",
    (
        _TICKER,
        FileColumn("start_date", ValueKind.DATE),
        FileColumn("end_date", ValueKind.DATE, may_be_empty=True),
    ),
    ("ticker", "start_date"),
)
LAYOUTS = {
    layout.name: layout
    for layout in (BARS_FILE, SPLITS_FILE, DIVIDENDS_FILE, HOLDINGS_FILE, QUOTES_FILE, INDEX_MEMBERSHIP_FILE)
}
"""The files by name; each is optional."""
