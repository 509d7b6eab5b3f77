"""Where a job begins: Ctrl+C is a normal way to stop while the modules are still being imported, too."""

from __future__ import annotations


def start_job(name: str) -> int:
    """Run a job by the arguments of the command line; returns its exit code."""
    try:
        from spark_app.cli.main import main
    except KeyboardInterrupt:
        from spark_app.errors import RunInterruptedError

        return RunInterruptedError.exit_code
    return main(name)
