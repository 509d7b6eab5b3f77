"""All five stages of a session in one Spark application, stopping where one fails."""

import sys

from spark_app.cli.entrypoint import run_job
from spark_app.cli.parser import STAGES

if __name__ == "__main__":
    sys.exit(run_job("daily_pipeline", __doc__, STAGES))
