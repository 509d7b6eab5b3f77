"""Stage 5: weight the trending stocks by market cap."""

import sys

from spark_app.cli.entry import run_job

if __name__ == "__main__":
    sys.exit(run_job("stage5_portfolio_allocation"))
