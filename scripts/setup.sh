#!/usr/bin/env bash
# Make the project's environment in .venv: `setup.sh` for runs, `setup.sh dev` for tests and checks too, `setup.sh image`
# for a container, without the class archive (200 MB), and `setup.sh airflow` for runs, with an Airflow in .venv-airflow
# for the tests of the DAG.
# Does nothing where nothing has changed; makes .venv anew where it is unfinished or outdated.
set -euo pipefail
unset CDPATH PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX SPARK_HOME SPARK_CONF_DIR SPARK_ENV_LOADED
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "$root"
. scripts/require_java.sh
# uv uses pip's index too. Without a writable home there is no cache.
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[ -w "${HOME:-/nonexistent}" ] || export UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1

say() { echo "setup: $*"; }
fail() {
  echo "setup: $*" >&2
  exit 69
}

# A stamp is written when a part is complete. It contains what the part was made from.
stamped() { [ "$(cat ".venv/$1.stamp" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s\n' "$2" >".venv/$1.stamp"; }
checksum() { cat "$@" | cksum; }

# From an active .venv take the Python that it was made with: .venv itself may be removed below.
find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11; do
    "$name" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys._base_executable)' 2>/dev/null && return
  done
  return 1
}

make_venv() {
  local python version
  python="$(find_python)" || fail "Python 3.11 or newer is needed, and none is on PATH (python3, python3.13, 3.12, 3.11)"
  version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python's venv module is missing; install it with: apt-get install python$version-venv"
  say "Python $version into .venv"
  rm -rf .venv
  "$python" -m venv .venv
  # Puts the project on sys.path, in Spark's Python workers too.
  printf '%s\n' "$root" >"$(site_packages)/spark_app.pth"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
}

site_packages() { .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# uv.txt is always in the lists, because `sync` removes packages that no list names.
sync_packages() {
  .venv/bin/uv pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements/uv.txt requirements/runtime.txt "$@"
}

prepare_spark() {
  local spark
  spark="$(site_packages)/pyspark"
  .venv/bin/python scripts/fetch_jars.py
  ln -sfn "$root/conf" "$spark/conf"
  # Spark 4.2 lacks the quotes here and does not find spark-env.sh in a path with spaces. A new file, because
  # the old one may be a hard link into uv's cache.
  sed 's|^\( *\. \)\(\${SPARK_ENV_SH}\)|\1"\2"|' "$spark/bin/load-spark-env.sh" >"$spark/bin/load-spark-env.new"
  mv -f "$spark/bin/load-spark-env.new" "$spark/bin/load-spark-env.sh"
}

require_java
lock="$root $(checksum scripts/setup.sh requirements/uv.txt requirements/runtime.txt conf/jars.lock conf/kafka-jars.lock)"
dev_lock="$lock $(checksum requirements/dev.txt requirements/dev-jars.lock)"

if ! stamped runtime "$lock"; then
  make_venv
  say "Python packages"
  sync_packages
  say "Spark's jars for Delta, Postgres and Kafka"
  prepare_spark
  stamp runtime "$lock"
fi
if [ "${1:-}" = dev ] && ! stamped dev "$dev_lock"; then
  say "Python packages for tests and checks"
  sync_packages requirements/dev.txt
  say "a Kafka broker for tests"
  .venv/bin/python scripts/fetch_jars.py requirements/dev-jars.lock .venv/kafka-broker
  stamp dev "$dev_lock"
fi
if [ "${1:-}" != image ] && ! stamped archive "$lock $java_version"; then
  say "class archive for Spark on Java $java_version (about a minute)"
  scripts/make_class_archive.sh || say "no class archive: jobs work, but start more slowly"
  stamp archive "$lock $java_version"
fi
airflow_lock="$root $(checksum requirements/airflow.txt)"
if [ "${1:-}" = airflow ] && [ "$(cat .venv-airflow/airflow.stamp 2>/dev/null)" != "$airflow_lock" ]; then
  say "Airflow into .venv-airflow"
  rm -rf .venv-airflow
  .venv/bin/uv venv --quiet --python "$(find_python)" .venv-airflow
  .venv/bin/uv pip sync --quiet --python .venv-airflow/bin/python --require-hashes requirements/airflow.txt
  printf '%s\n' "$airflow_lock" >.venv-airflow/airflow.stamp
fi
