"""Import bars, splits, dividends, holdings, quotes and index membership from your own CSV or Parquet files."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("import_files"))
