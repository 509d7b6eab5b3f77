"""Plain text and tables for the terminal."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Write control characters, other than tabs and line ends, as their codes: a terminal would obey them."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def data_mark(*, is_synthetic: bool) -> str:
    """The line above all that is shown of synthetic data, "" above real data."""
    return "SYNTHETIC DATA: made up, for trying things out" if is_synthetic else ""


def draw_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return the table as a text; the columns with the numbers (from 0) in `right` are right-aligned."""
    header, *rows = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), "  ".join("-" * w for w in widths), *(line(row) for row in rows)])
