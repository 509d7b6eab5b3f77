#!/usr/bin/env bash
# Run a synthetic day and write an archive of the JVM classes that it loaded, for conf/quick-start.sh.
# The archive fits one Java and one set of jars; with another Java ignores it.
# `make_class_archive.sh [LAUNCHER]`: the launcher that pip installed instead of the checkout's.
set -euo pipefail
unset CDPATH DATABASE_URL DATABASE_ADMIN_URL DATABASE_PASSWORD_FILE "${!SPARK_APP_@}"
unset PYTHONPATH SPARK_CONF_DIR SPARK_ENV_LOADED SPARK_SUBMIT_OPTS HADOOP_CONF_DIR YARN_CONF_DIR SPARK_DIST_CLASSPATH
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
launcher="${1:-$root/spark_jobs_launcher.sh}"
# As in conf/spark-env.sh.
environment="${SPARK_ADDED_JARS:-$root/.venv}"

home="$(mktemp -d)"
# As root, the embedded database runs as another user, who must be able to enter.
chmod 755 "$home"
new_archive="$environment/spark-classes.new"
trap 'rm -rf "$home" "$new_archive"' EXIT
export SPARK_APP_HOME="$home" SPARK_CLASS_ARCHIVE="$new_archive"

if "$launcher" daily_pipeline --source synthetic --force >"$home/output" 2>&1; then
  # Renamed when complete: Java crashes on half an archive.
  mv -f "$new_archive" "$environment/spark-classes.jsa"
else
  tail -n 20 "$home/output" >&2
  exit 1
fi
