"""All five stages of a session in one Spark application, up to the first that fails."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("daily_pipeline"))
