"""Import bars, splits, dividends, holdings, quotes and index membership from your own CSV or Parquet files."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("import_files"))
