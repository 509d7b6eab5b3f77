"""`show` from its arguments to what is printed and the exit code."""

from __future__ import annotations

import json

import pytest

from spark_app.cli.database import main
from spark_app.storage.postgres.database import Database
from tests.storage.postgres.logins import url_of

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


def test_a_date_is_shown_in_the_form_that_was_asked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url_of(database))
    assert main(["show"]) == 0
    assert capsys.readouterr().out.startswith("There are no results yet: run ")
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO analytics_trending_sectors (as_of_date, etf_ticker, period_days, sector_name, return_pct,"
            " benchmark_return_pct, is_trending, rank, run_id)"
            " VALUES ('2023-06-30', 'XLK', 20, 'Information Technology', 3, 2, true, 1, 'run')"
        )
    assert main(["show", "--as-of", "2023-06-30"]) == 0
    shown = capsys.readouterr().out
    assert "Sector returns up to 2023-06-30 in percent" in shown
    assert "- stale since 2023-07-03: the newest results, of 2023-06-30, are " in shown
    assert main(["show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["as_of_date"] == "2023-06-30"
    assert main(["show", "--csv", "sectors"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("2023-06-30,XLK,Information Technology,20,3.000000,")
    assert main(["show", "--as-of", "2023-06-29"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "no results for 2023-06-29: the nearest date served is 2023-06-30\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--as-of", "yesterday"], "show: argument --as-of: invalid date 'yesterday': expected YYYY-MM-DD; see --help"),
        (["--json", "--csv"], "show: argument --csv: not allowed with argument --json; see --help"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["show", *words])
    assert capsys.readouterr().err == f"{said}\n"
