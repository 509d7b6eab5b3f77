"""Stage 4: collect prices and market caps of the stocks in trending sectors."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("stage4_stock_history"))
