#!/usr/bin/env bash
# Run a representative job once and keep the JVM classes that it loaded: later starts take half the time.
# The archive belongs to one Java and one set of jars; where it does not fit, Java passes over it in silence.
set -euo pipefail
unset CDPATH DATABASE_URL DATABASE_ADMIN_URL DATABASE_PASSWORD_FILE "${!SPARK_APP_@}"
unset PYTHONPATH SPARK_CONF_DIR SPARK_ENV_LOADED SPARK_SUBMIT_OPTS HADOOP_CONF_DIR YARN_CONF_DIR SPARK_DIST_CLASSPATH
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"

home="$(mktemp -d)"
new_archive="$root/.venv/spark-classes.new"
trap 'rm -rf "$home" "$new_archive"' EXIT
SPARK_HOME="$("$root/.venv/bin/python" -c 'import pyspark; print(*pyspark.__path__)')"
export SPARK_HOME SPARK_APP_HOME="$home" SPARK_CLASS_ARCHIVE="$new_archive"

if "$SPARK_HOME/bin/spark-submit" "$root/scripts/class_archive_workload.py" >"$home/output" 2>&1; then
  # Renamed when complete: half an archive would crash Java.
  mv -f "$new_archive" "$root/.venv/spark-classes.jsa"
else
  tail -n 20 "$home/output" >&2
  exit 1
fi
