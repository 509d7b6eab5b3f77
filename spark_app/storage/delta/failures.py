"""What goes wrong with the place of the staging tables: a folder, HDFS, or a store on S3 that may not answer."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from spark_app.errors import ServiceUnavailableError, SparkAppError
from spark_app.spark.java_errors import JAVA_ERRORS, reason_of

_RAISED = re.compile(r"^(\w[\w.]*(?:Error|Exception): .+)", re.MULTILINE)
# Of a place: its file system, its server, and the way there. A worker of Python's that dies is an EOFException.
_OF_A_PLACE = re.compile(
    r"^(?:Caused by)?: (?:java\.(?:net|nio)\.|java\.io\.(?:IO|FileNotFound)|org\.apache\.hadoop\.|software\.amazon\.)",
    re.MULTILINE,
)


@contextlib.contextmanager
def staging_at_work(doing: str) -> Iterator[None]:
    """Turn the failures of a storage system, and of a worker of ours, into our own errors.

    Raises: ServiceUnavailableError: the place of the tables. SparkAppError: Python code in a worker raised an error.
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
    """Tell staging that goes away from a defect, wherever Spark happens to read it: it does so late.

    Raises: ServiceUnavailableError.
    """
    try:
        yield
    except JAVA_ERRORS as error:
        if "PythonException" in str(error) or not _OF_A_PLACE.search(str(error)):
            raise
        with staging_at_work(f"reading {root}"):
            raise
