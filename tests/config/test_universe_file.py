"""The universe as a file: today's funds by default, others by another file, mistakes in one sentence."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from spark_app.config.universe_file import load_universe
from spark_app.errors import SettingsError
from spark_app.universe import DEFAULT_UNIVERSE, FUNDS

THREE = """
sessions = "data"
periods_a_year = 12
[benchmark]
ticker = "Mkt"
[[funds]]
ticker = "NoDur"
sector = "Consumer goods"
[[funds]]
ticker = "Durbl"
sector = "Cars"
first_session = 1927-01-31
"""


def test_the_default_is_the_funds_of_the_daily_pipeline_in_their_order() -> None:
    universe = load_universe()
    assert universe == DEFAULT_UNIVERSE
    assert universe.tickers == FUNDS


def test_another_file_gives_other_funds(tmp_path: Path) -> None:
    file = tmp_path / "three.toml"
    file.write_text(THREE)
    universe = load_universe(str(file))
    assert universe.tickers == ("Mkt", "NoDur", "Durbl")
    assert universe.sectors["Durbl"] == "Cars"
    assert universe.first_sessions == {"Durbl": dt.date(1927, 1, 31)}
    assert (universe.sessions, universe.periods_a_year, universe.currency) == ("data", 12, "USD")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("periods_a_year = 12", "periods_a_year = 0", "periods_a_year: Input should be greater than or equal to 1"),
        ('sessions = "data"', 'sessions = "XLON"', "sessions: Input should be 'XNYS' or 'data'"),
        ('"Durbl"', '"NoDur"', "NoDur is named twice"),
        ('"NoDur"', '"No Dur"', "funds.0.ticker: String should match"),
        ('sector = "Cars"', 'industry = "Cars"', "funds.1.sector: Field required"),
        ("[benchmark]", "[[benchmark", "cannot read the universe file"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, before: str, after: str, told: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(THREE.replace(before, after, 1))
    with pytest.raises(SettingsError, match="universe file") as error:
        load_universe(str(file))
    assert told in str(error.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read the universe file .*none\.toml"):
        load_universe(str(tmp_path / "none.toml"))
