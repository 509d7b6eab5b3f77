"""Old rows that go together."""

from __future__ import annotations

import datetime as dt

from spark_app.schemas import BACKTEST_TABLES
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.retention import old_analytics, remove

_ROWS = """
INSERT INTO analytics_backtest_run VALUES ('{id}', '{day}', '2020-01-02', '2020-12-31', true, '{{}}', 'run');
INSERT INTO analytics_backtest_summary (backtest_id, series, final_value, run_id) VALUES ('{id}', 'strategy', 1, 'run');
INSERT INTO analytics_backtest_equity VALUES ('{id}', 'strategy', '2020-01-02', 1, 0, 'run');
INSERT INTO analytics_backtest_rebalance VALUES ('{id}', 'strategy', '2020-01-02', '2020-01-03', 1, 0, 'run');
INSERT INTO analytics_backtest_position VALUES ('{id}', '2020-01-02', 'XLK', 1, 'run');
"""


def test_a_backtest_goes_as_a_whole_when_it_was_computed_long_ago(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(
            (_ROWS.format(id="old", day="2025-01-02") + _ROWS.format(id="new", day="2026-01-02")).encode()
        )
    for old in old_analytics(dt.date(2026, 1, 1)):
        remove(database, old)
    with database.connect() as connection:
        for table in BACKTEST_TABLES:
            left = connection.execute(f"SELECT backtest_id FROM {table.name}".encode()).fetchall()
            assert left == [("new",)], table.name
