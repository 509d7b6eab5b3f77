"""Stage 1: collect daily prices of SPY, QQQ and the eleven sector funds."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("stage1_etf_ohlc"))
