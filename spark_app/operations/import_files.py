"""Importing the user's own files into staging, for `--source files`; nothing is served by it."""

from __future__ import annotations

from spark_app.ingestion.files.importing import import_files
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run


def run(run: Run) -> StageResult:
    """Import the files of the folder that the settings name."""
    return import_files(run)
