"""Stage 4: collect prices and market caps of the stocks in the trending sectors."""

import sys

from spark_app.cli.entrypoint import run_job

if __name__ == "__main__":
    sys.exit(run_job("stage4_stock_history", __doc__, ["stage4_stock_history"]))
