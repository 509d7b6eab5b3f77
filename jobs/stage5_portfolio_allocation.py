"""Stage 5: weight the trending stocks by market cap."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("stage5_portfolio_allocation"))
