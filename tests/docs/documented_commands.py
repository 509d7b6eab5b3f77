"""The commands of the documentation and of the demo's last lines: where they stand, and which kinds there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "WORKFLOW.md", "ARCHITECTURE.md", "CONTRIBUTING.md")] + sorted(
    ROOT.glob("docs/**/*.md")
)

# Blocks that show something else than commands, by the beginning of their first line.
SHOWN = (
    "SYNTHETIC DATA: made up",
    "outside                workers",
    "stage 1  prices of the funds",
    "sending 503 requests",
    "missed sessions: 5",
    "restated: XLK",
    "[corrections]",
    '{"table":"collected_daily_etf_ohlc"',
    "stage4_stock_history: rate limited",
    "stage1_etf_ohlc: cannot reach PostgreSQL",
    "chart of SIVB: not_found: Yahoo does not know",
    "stage5_portfolio_allocation: no returns",
    "this Spark has no jar",
    "cli -> operations",
    "STAGE6 = Stage(",
    "Job(",
    "import datetime as dt",
    "from spark_app.results.tables import",
    "weights = {",
    "return(N) = ",
    "market cap = ",
    "turnover = ",
    "ticker,trade_date,",
    "ticker,ex_date,",
    "etf_ticker,snapshot_date,",
    "ticker,quote_date,",
    "ticker,start_date,",
    "bars.csv row 8:",
)
# Code in the running text that is a command begins with one of these.
IN_TEXT = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:(?:\./)?spark_jobs_launcher\.sh|\.venv/bin/python|make|spark-submit|SELECT|INSERT|pip) "
)


@dataclass(frozen=True)
class Command:
    """A line of a page that somebody may type."""

    text: str
    place: str


def commands() -> Iterator[Command]:
    """All commands of all pages, in their order, and those that the demo ends with."""
    for page in PAGES:
        yield from in_blocks(page)
        yield from in_text(page)
    yield from in_demo()


def in_blocks(page: Path) -> Iterator[Command]:
    """The lines of indented and fenced blocks, except of those that show something else."""
    block: list[Command] = []
    fenced = False
    for number, line in enumerate([*page.read_text().splitlines(), ""], start=1):
        fence = line.startswith("```")
        fenced ^= fence
        if not fence and (fenced or line.startswith("    ")):
            block.append(Command(re.sub(r"\s+# .*$", "", line.strip()), f"{page.name}:{number}"))
            continue
        # An empty line does not end a picture.
        if block and (line or not block[0].text.startswith(SHOWN)):
            yield from () if block[0].text.startswith(SHOWN) else with_whole_statements(block)
            block = []


def with_whole_statements(block: list[Command]) -> list[Command]:
    """In a block of SQL with semicolons a command is a statement, which may be of several lines."""
    if not (block[0].text.startswith("SELECT ") and block[-1].text.endswith(";")):
        return block
    statements = " ".join(command.text for command in block).split(";")
    return [Command(statement.strip(), block[0].place) for statement in statements if statement.strip()]


def in_text(page: Path) -> Iterator[Command]:
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if not line.startswith("    "):
            for code in re.findall(r"`([^`]+)`", line):
                if IN_TEXT.match(code):
                    yield Command(code.replace("\\|", "|"), f"{page.name}:{number}")


def in_demo() -> Iterator[Command]:
    """The indented lines of the text that `make demo` ends with, as a user sees them."""
    values = {"$SPARK_APP_HOME": "var/demo", "$launcher": "./spark_jobs_launcher.sh", "$first": "2025-11-28"}
    text = (ROOT / "scripts" / "demo.sh").read_text().split("<<TEXT")[1]
    for line in text.splitlines():
        if line.startswith("  "):
            shown = re.sub(r"\$\w+", lambda name: values[name[0]], line)
            yield Command(re.sub(r"\s+# .*$", "", shown.strip()), "demo.sh")
