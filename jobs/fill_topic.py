"""Send every served row to the topic, where it is younger than the database or was lost."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("fill_topic"))
