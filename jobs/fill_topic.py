"""Send every served row to the topic, where it began later than the database or was lost."""

import sys

from spark_app.cli.entrypoint import run_fill

if __name__ == "__main__":
    sys.exit(run_fill("fill_topic", __doc__))
