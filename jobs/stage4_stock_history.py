"""Stage 4: collect prices and market caps of the stocks in trending sectors."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("stage4_stock_history"))
