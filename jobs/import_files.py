"""Import bars, splits, dividends, holdings, quotes and index membership from your own CSV or Parquet files."""

import sys

from spark_app.cli.entry import run_job

if __name__ == "__main__":
    sys.exit(run_job("import_files"))
