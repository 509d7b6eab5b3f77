"""What the JVM has said about Java names, kept by the driver: packages and classes below `org`, PySpark's functions.

PySpark asks anew for every column and function that a plan names, thousands of times in a run of seconds; and whether
a name is a package, like the `org` of `org.apache`, Java finds out by looking into every jar.
"""

from __future__ import annotations

from typing import Any

from py4j.java_gateway import JavaClass, JavaMember, JavaPackage
from pyspark.sql import SparkSession

_FUNCTIONS = "org.apache.spark.sql.functions"
# PySpark names these classes without their package; the functions also in full.
_CLASSES = {
    "functions": _FUNCTIONS,
    _FUNCTIONS: _FUNCTIONS,
    "PythonUtils": "org.apache.spark.api.python.PythonUtils",
    "PythonSQLUtils": "org.apache.spark.sql.api.python.PythonSQLUtils",
}


class _KnownClass(JavaClass):  # type: ignore[misc]
    """A class that knows the methods it was asked for; what a field holds may change and is asked anew."""

    def __getattr__(self, name: str) -> Any:
        member = super().__getattr__(name)
        if isinstance(member, JavaMember):
            setattr(self, name, member)
        return member


class _KnownPackage(JavaPackage):  # type: ignore[misc]
    """A package that knows what was found in it."""

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if isinstance(found, JavaPackage):
            # What is no class counts as a package; one with a capital is a class that may come with a later jar.
            if name[0].isupper():
                return found
            found = _KnownPackage(found._fqn, found._gateway_client, found._jvm_id)
        elif isinstance(found, JavaClass):
            found = _KnownClass(found._fqn, found._gateway_client)
        setattr(self, name, found)
        return found


def remember_java_names(spark: SparkSession) -> None:
    """Let the driver's view of the JVM keep what it is told; every session of this process has the same one."""
    jvm: Any = spark.sparkContext._jvm
    jvm.org = _KnownPackage("org", jvm._gateway_client, jvm._id)
    for name, full_name in _CLASSES.items():
        setattr(jvm, name, _KnownClass(full_name, jvm._gateway_client))
