#!/bin/sh
# Python as Spark starts it on this machine, for the driver and the workers: with the PySpark that is installed.
# Spark names its own copy first, a .zip without bytecode that each process would compile anew for half a second,
# and a jar that has no Python in it.
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
