"""Stage 5: weight the trending stocks by market cap."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("stage5_portfolio_allocation"))
