"""Stage 2: collect what SPY and the sector funds hold."""

import sys

from spark_app.cli.entrypoint import run_job

if __name__ == "__main__":
    sys.exit(run_job("stage2_etf_holdings", __doc__, ["stage2_etf_holdings"]))
