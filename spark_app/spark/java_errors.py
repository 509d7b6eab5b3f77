"""Errors that Spark raises from Java, and their cause in one line."""

from __future__ import annotations

import re

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

JAVA_ERRORS = (PySparkException, Py4JJavaError)
_CAUSE = re.compile(r"^(?:Caused by)?: (\S.*)", re.MULTILINE)
_PACKAGE = re.compile(r"^(?:\w+\.)+(?=\w+(?::|$))")
_LONGEST = 300


def reason_of(error: PySparkException | Py4JJavaError) -> str:
    """Return the innermost cause, without the package of its class; at most 300 characters."""
    text = str(error).strip()
    causes = _CAUSE.findall(text)
    return _PACKAGE.sub("", causes[-1] if causes else text.splitlines()[0])[:_LONGEST]
