"""Tables for the terminal."""

from __future__ import annotations

from spark_app.text_table import draw_table, printable


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\tb\n\x1b[31mred\x07\x9b\r") == "a\tb\n\\x1b[31mred\\x07\\x9b\\x0d"


def test_a_column_is_as_wide_as_what_is_shown() -> None:
    assert draw_table(("name", "n"), [("\x1bA", "1"), ("B", "20")], right={1}) == (
        "name    n\n-----  --\n\\x1bA   1\nB      20"
    )
