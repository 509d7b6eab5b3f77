#!/usr/bin/env bash
# Make the project's environment in .venv: `setup.sh` what a run needs, `setup.sh dev` tests and checks as well,
# `setup.sh image` for a container without the archive of classes (200 MB), and `setup.sh airflow` what a run needs
# and for the tests of the DAG an Airflow in .venv-airflow.
# Does nothing where nothing has changed; starts from nothing where the environment is unfinished or outdated.
set -euo pipefail
unset CDPATH PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX SPARK_HOME SPARK_CONF_DIR SPARK_ENV_LOADED
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "$root"
. scripts/require_java.sh
# pip's own mirror serves uv as well; a user without a home gets no cache.
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[ -w "${HOME:-/nonexistent}" ] || export UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1

say() { echo "setup: $*"; }
fail() {
  echo "setup: $*" >&2
  exit 69
}

# A stamp is written when a part is complete; it holds what the part was made from.
stamped() { [ "$(cat ".venv/$1.stamp" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s\n' "$2" >".venv/$1.stamp"; }
checksum() { cat "$@" | cksum; }

# Of an active .venv take the Python that it was made with: .venv itself may be about to go.
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
  # On sys.path everywhere, in Spark's Python workers too.
  printf '%s\n' "$root" >"$(site_packages)/spark_app.pth"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
}

site_packages() { .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# uv.txt is always among the lists, for `sync` removes what none of them names.
sync_packages() {
  .venv/bin/uv pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements/uv.txt requirements/runtime.txt "$@"
}

prepare_spark() {
  local spark
  spark="$(site_packages)/pyspark"
  .venv/bin/python scripts/fetch_jars.py
  ln -sfn "$root/conf" "$spark/conf"
  # Spark 4.2 forgets the quotes here, and would not find spark-env.sh in a path with spaces. A new file, not
  # an edited one: uv may have linked it from its cache.
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
  say "class archive for a quick start of Spark on Java $java_version (about a minute)"
  scripts/make_class_archive.sh || say "no class archive: everything works, Spark starts more slowly"
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
