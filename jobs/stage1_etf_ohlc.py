"""Stage 1: collect daily prices of SPY, QQQ and the eleven sector funds."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("stage1_etf_ohlc"))
