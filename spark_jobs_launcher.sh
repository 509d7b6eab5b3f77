#!/usr/bin/env bash
# Run a job of the pipeline with the project's own environment, from anywhere.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: spark_jobs_launcher.sh [--master URL] [--bulk] [--conf KEY=VALUE]... JOB [arguments of the job]
       spark_jobs_launcher.sh JOB --help       what the job does and takes
       spark_jobs_launcher.sh --list           all jobs
       spark_jobs_launcher.sh psql [arguments] a SQL prompt on the database in use
       spark_jobs_launcher.sh db start|stop|url|roles
       spark_jobs_launcher.sh db dump FILE, db restore [--force] FILE
       spark_jobs_launcher.sh show             the result tables

  --master URL   where Spark runs: local[2,4] (default, or $SPARK_MASTER), spark://..., yarn, k8s://...
  --bulk         settings for years of data (conf/spark-bulk.conf) over those of a small daily run
  --conf         one setting of Spark
TEXT
}

fail() {
  local code="$1"
  shift
  echo "spark_jobs_launcher.sh: $*" >&2
  exit "$code"
}

# The folder of this script, wherever a symbolic link to it lies.
project_root() {
  local script="${BASH_SOURCE[0]}" target
  while [ -L "$script" ]; do
    target="$(readlink "$script")"
    case "$target" in
      /*) script="$target" ;;
      *) script="$(dirname "$script")/$target" ;;
    esac
  done
  (cd "$(dirname "$script")" && pwd -P)
}

# Each job with the first line of its docstring.
list_jobs() {
  local file
  for file in "$root"/jobs/[a-z]*.py; do
    [ -e "$file" ] || continue
    printf '%-30s %s\n' "$(basename "$file" .py)" "$(sed -n '1s/^"""\([^"]*\).*/\1/p' "$file")"
  done
}

wants_help() {
  local argument
  for argument in "$@"; do
    case "$argument" in -h | --help) return 0 ;; esac
  done
  return 1
}

# What another Spark or Python left in the environment must not reach ours.
unset CDPATH PYTHONPATH PYTHONHOME PYTHONSTARTUP SPARK_HOME SPARK_CONF_DIR SPARK_ENV_LOADED SPARK_PREPEND_CLASSES \
  SPARK_DIST_CLASSPATH SPARK_REMOTE PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON PYSPARK_DRIVER_PYTHON_OPTS PYSPARK_SUBMIT_ARGS
root="$(project_root)"
python="$root/.venv/bin/python"

master="${SPARK_MASTER:-local[2,4]}"
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --master | --conf) [ $# -ge 2 ] || fail 2 "$1 needs a value" ;;
  esac
  case "$1" in
    --master) master="$2" && shift 2 ;;
    --conf) options+=(--conf "$2") && shift 2 ;;
    --bulk) options+=(--properties-file "$root/conf/spark-bulk.conf" --load-spark-defaults) && shift ;;
    --list) list_jobs && exit ;;
    -h | --help) usage && exit ;;
    -*) fail 2 "there is no option $1; see --help" ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { usage >&2 && exit 2; }
job="$1" && shift

[ -x "$python" ] || fail 69 "the environment is not there yet; run \`make setup\` in $root first"
case "$job" in psql | db | show) exec "$python" -m spark_app.database "$job" "$@" ;; esac
script="$root/jobs/$job.py"
[[ $job =~ ^[a-z][a-z0-9_]*$ && -f $script ]] || fail 2 "there is no job $job; --list shows all of them"
# No JVM for a help text.
if wants_help "$@"; then exec "$python" "$script" "$@"; fi

for spark in "$root"/.venv/lib/python3*/site-packages/pyspark; do export SPARK_HOME="$spark"; done
exec "$SPARK_HOME/bin/spark-submit" --master "$master" ${options[@]+"${options[@]}"} "$script" "$@"
