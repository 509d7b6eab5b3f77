"""Stage 3: find the sectors that trend over 5, 10 and 20 sessions."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("stage3_trending_sectors"))
