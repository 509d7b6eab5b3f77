"""Stage 5: allocate a portfolio of the trending stocks, weighted by market cap."""

import sys

from spark_app.cli.entrypoint import run_job

if __name__ == "__main__":
    sys.exit(run_job("stage5_portfolio_allocation", __doc__, ["stage5_portfolio_allocation"]))
