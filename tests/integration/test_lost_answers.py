"""The commit landed and its answer was lost, in PostgreSQL and in Delta: the next run finds everything, once."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrameWriter

from tests.integration.fetch_market import ALL_STOCKS, STAGE_1
from tests.integration.fetch_world import STAGE1, STAGE2, STAGE4, FetchWorld, each_once, right_prices, served_prices
from tests.integration.world import differences, without_text
from tests.storage.postgres.faulty_proxy import behind_proxy

KEYS = {
    "fetches": ("kind", "ticker"),
    "bars": ("ticker", "trade_date"),
    "holdings": ("etf_ticker", "snapshot_date", "holding_ticker"),
    "quotes": ("ticker", "quoted_at"),
}


def lose_answer(monkeypatch: pytest.MonkeyPatch, fetch_world: FetchWorld, table: str) -> list[str]:
    """Let the next append to a staging table fail after its commit; the list then has its place."""
    writer = type(fetch_world.spark.range(0).write)
    save = writer.save
    lost: list[str] = []

    def save_and_fail(self: DataFrameWriter, path: str | None = None) -> None:
        save(self, path)
        if path is not None and path.endswith(f"/{table}") and not lost:
            lost.append(path)
            raise PySparkException("Connection reset by peer")

    monkeypatch.setattr(writer, "save", save_and_fail)
    return lost


def served(fetch_world: FetchWorld) -> dict[str, object]:
    return {name: without_text(rows) for name, rows in fetch_world.world.tables().items()}


@pytest.mark.parametrize("stage", [STAGE1, STAGE2])
def test_a_commit_in_postgres(fetch_world: FetchWorld, stage: str) -> None:
    with behind_proxy(fetch_world.world.database) as (proxy, database):
        # The commit that closes the run in the run log.
        proxy.lose_answer_to, proxy.once_said = b"COMMIT", b"finished_at = now()"
        behind = dataclasses.replace(fetch_world, world=dataclasses.replace(fetch_world.world, database=database))
        report = behind.run(stage)
    assert proxy.lose_answer_to is None
    # It is tried again, and finds its row of the run log.
    assert report.exit_code == 0, report.message
    assert report.rows_inserted > 0
    landed = served(fetch_world)
    if stage == STAGE1:
        assert not differences(served_prices(fetch_world), right_prices())

    again = fetch_world.run(stage)
    counts = (again.exit_code, again.requests, again.rows_inserted, again.rows_updated, again.rows_removed)
    assert counts == (0, 0, 0, 0, 0), again.message
    assert again.rows_unchanged > 0
    assert served(fetch_world) == landed


@pytest.mark.parametrize(
    ("stage", "table", "rows"),
    [
        (STAGE1, "fetches", 294),
        pytest.param(STAGE1, "bars", 294, marks=pytest.mark.campaign),
        pytest.param(STAGE2, "holdings", 34, marks=pytest.mark.campaign),
        pytest.param(STAGE4, "quotes", 693, marks=pytest.mark.campaign),
    ],
)
def test_a_commit_in_delta(
    fetch_world: FetchWorld, monkeypatch: pytest.MonkeyPatch, stage: str, table: str, rows: int
) -> None:
    if stage == STAGE4:
        assert fetch_world.run(STAGE2).exit_code == 0
    before = served(fetch_world)
    lost = lose_answer(monkeypatch, fetch_world, table)
    report = fetch_world.run(stage)
    assert len(lost) == 1
    assert report.exit_code == 69
    assert report.message.startswith(f"staging failed while writing {lost[0]}: Connection reset by peer; what was")
    assert served(fetch_world) == before

    again = fetch_world.run(stage)
    assert (again.exit_code, again.rows_inserted) == (0, rows), again.message
    assert fetch_world.asked() == each_once({STAGE1: STAGE_1, STAGE2: (), STAGE4: ALL_STOCKS}[stage])
    keys = Counter(tuple(row[column] for column in KEYS[table]) for row in fetch_world.staged(table))
    assert keys.most_common(1)[0][1] == 1
    fresh = fetch_world.run(stage, refresh=True)
    assert (fresh.exit_code, fresh.rows_inserted, fresh.rows_updated, fresh.rows_removed) == (0, 0, 0, 0)
