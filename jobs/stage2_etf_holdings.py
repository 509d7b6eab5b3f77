"""Stage 2: collect the holdings of SPY and the eleven sector funds."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("stage2_etf_holdings"))
