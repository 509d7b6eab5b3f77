"""Backtest the rotation: equity, drawdown, turnover and costs beside equal weight and the benchmark."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("backtest"))
