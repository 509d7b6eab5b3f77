"""Failures of the storage that staging is on: a folder, HDFS or S3."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from spark_app.errors import ServiceUnavailableError, SparkAppError
from spark_app.spark.java_errors import JAVA_ERRORS, reason_of

_RAISED = re.compile(r"^(\w[\w.]*(?:Error|Exception): .+)", re.MULTILINE)
# Exceptions of file systems, stores and the network. Not EOFException: that is a Python worker that died.
_STORAGE_FAILURE = re.compile(
    r"^(?:Caused by)?: (?:java\.(?:net|nio)\.|java\.io\.(?:IO|FileNotFound)|org\.apache\.hadoop\.|software\.amazon\.)",
    re.MULTILINE,
)


@contextlib.contextmanager
def translated_staging_errors(doing: str) -> Iterator[None]:
    """Translate Spark's errors; `doing` completes "staging failed while ...".

    Raises: ServiceUnavailableError: the storage failed. SparkAppError: Python code in a worker raised an error.
    """
    try:
        yield
    except JAVA_ERRORS as error:
        text = str(error)
        if "PythonException" in text:
            raised = (_RAISED.findall(text) or [text])[-1][:300]
            raise SparkAppError(f"a worker failed while {doing}: {raised}") from error
        raise ServiceUnavailableError(f"staging failed while {doing}: {reason_of(error)}") from error


@contextlib.contextmanager
def staging_in_use(root: str) -> Iterator[None]:
    """Translate failures of the storage anywhere in the block: Spark reads late. Other errors are defects and pass.

    Raises: ServiceUnavailableError.
    """
    try:
        yield
    except JAVA_ERRORS as error:
        if "PythonException" in str(error) or not _STORAGE_FAILURE.search(str(error)):
            raise
        with translated_staging_errors(f"reading {root}"):
            raise
