"""Where a job begins: Ctrl+C is a normal way to stop while the modules are still being imported, too."""

from __future__ import annotations

import gc


def start_job(name: str) -> int:
    """Run a job by the arguments of the command line; returns its exit code."""
    try:
        from spark_app.cli.main import main
    except KeyboardInterrupt:
        from spark_app.errors import RunInterruptedError

        return RunInterruptedError.exit_code
    try:
        return main(name)
    finally:
        # At its end Python looks through all objects once more, for what it can free: 0.2 s with Spark's libraries.
        gc.freeze()
