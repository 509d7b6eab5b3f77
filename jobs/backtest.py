"""Backtest the rotation: equity, drawdown, turnover and costs beside equal weight and the benchmark."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("backtest"))
