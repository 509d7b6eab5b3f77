"""Stage 3: find the sectors that trend over 5, 10 and 20 sessions."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("stage3_trending_sectors"))
