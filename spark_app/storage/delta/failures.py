"""Failures of the storage that staging is on: a folder, HDFS or S3."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from spark_app.errors import LastingFailureError, ServiceUnavailableError, SettingsError, SparkAppError
from spark_app.spark.java_errors import JAVA_ERRORS, reason_of

_RAISED = re.compile(r"^(\w[\w.]*(?:Error|Exception): .+)", re.MULTILINE)
# Exceptions of file systems, stores and the network. Not EOFException: that is a Python worker that died.
_STORAGE_FAILURE = re.compile(
    r"^(?:Caused by)?: (?:java\.(?:net|nio)\.|java\.io\.(?:IO|FileNotFound)|org\.apache\.hadoop\.|software\.amazon\.)",
    re.MULTILINE,
)
_UNKNOWN_PLACE = re.compile("No FileSystem for scheme|Wrong FS|Relative path in absolute URI|Expected authority")
_UNUSABLE_PLACE = re.compile(
    "ParentNotDirectory|Not a directory|not a directory|FileAlreadyExists|Mkdirs failed|mkdir of |Permission denied"
    "|DELTA_CANNOT_CREATE_LOG_PATH|AccessControlException|AccessDenied|Read-only file system|NoSuchBucket"
    "|UnknownStoreException|Forbidden"
)
_FULL = re.compile("No space left on device|Disk quota exceeded|QuotaExceeded")
_LOST_FILE = re.compile(
    r"(?:Path does not exist: |FileNotFoundException: File )(\S.*?)(?:\. SQLSTATE| does not exist|$)", re.M
)
_UNREADABLE_FILE = re.compile(r"\[FAILED_READ_FILE[^]]*\].*? reading file (\S.*?)\.  ?SQLSTATE")
_DAMAGED_LOG = re.compile(
    r"\[DELTA_(?:VERSIONS_NOT_CONTIGUOUS|LOG_FILE_NOT_FOUND|STATE_RECOVER|TRUNCATED|MISSING)\w*\]"
)


def damaged(what: str, root: str) -> LastingFailureError:
    """Return the error of a staging place with a file that is lost or cannot be read; `what` says which."""
    return LastingFailureError(
        f"staging is damaged: {what}: put the file back from a copy of {root}, or move that folder away:"
        " then the next run fetches anew (WORKFLOW.md, Backup and loss)"
    )


@contextlib.contextmanager
def translated_staging_errors(doing: str, root: str = "") -> Iterator[None]:
    """Translate Spark's errors; `doing` completes "staging failed while ...", `root` is the place of the tables.

    Raises: ServiceUnavailableError: the storage failed. LastingFailureError: it is damaged, or not usable as it is.
        SettingsError: there can be no such place. SparkAppError: Python code in a worker raised an error.
    """
    try:
        yield
    except JAVA_ERRORS as error:
        text = str(error)
        if "PythonException" in text:
            raised = (_RAISED.findall(text) or [text])[-1][:300]
            raise SparkAppError(f"a worker failed while {doing}: {raised}") from error
        if (damage := _damage(text, root, doing)) is not None:
            raise damage from error
        sentence = f"staging failed while {doing}: {reason_of(error)}"
        raise _failure(sentence, text) from error


@contextlib.contextmanager
def staging_in_use(root: str) -> Iterator[None]:
    """Translate failures of the storage anywhere in the block: Spark reads late. Other errors are defects and pass.

    Raises: ServiceUnavailableError.
    """
    try:
        yield
    except JAVA_ERRORS as error:
        text = str(error)
        if "PythonException" in text or not (_STORAGE_FAILURE.search(text) or _damage(text, root)):
            raise
        with translated_staging_errors(f"reading {root}", root):
            raise


def _damage(text: str, root: str, doing: str = "") -> LastingFailureError | None:
    """The error of a lost or unreadable file, None where the text is of another failure."""
    if lost := _LOST_FILE.search(text):
        return damaged(f"{lost[1]} is missing", root)
    # A network that fails while a file is read damages nothing.
    if (unreadable := _UNREADABLE_FILE.search(text)) and not _STORAGE_FAILURE.search(text):
        return damaged(f"{unreadable[1]} cannot be read", root)
    if (log := _DAMAGED_LOG.search(text)) is not None:
        return damaged(f"{text[log.start() :].splitlines()[0].rstrip(' .')} while {doing}", root)
    return None


def _failure(sentence: str, text: str) -> ServiceUnavailableError | SettingsError:
    """The error of a failure of the place, with what to do about it."""
    if _UNKNOWN_PLACE.search(text):
        return SettingsError(f"{sentence}: set staging.path to a folder, or to a URL that Spark can write to")
    if _FULL.search(text):
        return ServiceUnavailableError(f"{sentence}: free space there")
    if _UNUSABLE_PLACE.search(text):
        return LastingFailureError(f"{sentence}: make it writable, or set staging.path (or SPARK_APP_HOME) to another")
    return ServiceUnavailableError(sentence)
