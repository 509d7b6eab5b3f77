"""Read the topic and upsert what it says into a database that is empty, or lacks some of it."""

import sys

from spark_app.cli.entrypoint import run_replay

if __name__ == "__main__":
    sys.exit(run_replay("replay_topic", __doc__))
