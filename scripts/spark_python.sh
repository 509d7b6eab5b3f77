#!/bin/sh
# Start Python for the driver and the workers on this machine, with the installed PySpark (conf/quick-start.sh says why).
# Spark puts its own zipped copy first in PYTHONPATH, and a jar that contains no Python.
paths=""
rest="${PYTHONPATH:-}:"
while [ -n "$rest" ]; do
  path="${rest%%:*}"
  rest="${rest#*:}"
  case "$path" in
    "$SPARK_HOME"/python/lib/*.zip | "$SPARK_HOME"/jars/*.jar) ;;
    *) paths="$paths${path:+:$path}" ;;
  esac
done
PYTHONPATH="${paths#:}" exec "$PYSPARK_INSTALLED_PYTHON" "$@"
