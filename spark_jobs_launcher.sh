#!/usr/bin/env bash
# Run a job of the pipeline from any folder: from a checkout in the environment of `make setup`, else in the environment
# that pip installed it into.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: spark_jobs_launcher.sh [--master URL] [--environment FILE] [--bulk] [--conf KEY=VALUE]... JOB [arguments of the job]
       spark_jobs_launcher.sh JOB --help       what the job does, and its arguments
       spark_jobs_launcher.sh --list, --version
       spark_jobs_launcher.sh --project        print the folder that has conf, scripts and the DAG of Airflow
       spark_jobs_launcher.sh setup            fetch the jars for Delta, PostgreSQL and Kafka, which pip does not install
       spark_jobs_launcher.sh setup s3         fetch the libraries for staging on s3a://
       spark_jobs_launcher.sh completion bash|zsh    print the shell's completion of jobs and options
       spark_jobs_launcher.sh psql [arguments] a SQL prompt on the database in use
       spark_jobs_launcher.sh db start|stop|url|roles
       spark_jobs_launcher.sh db dump FILE, db restore [--force] FILE
       spark_jobs_launcher.sh show             print the result tables
       spark_jobs_launcher.sh status           is all fresh, what failed, what would the next run do
       spark_jobs_launcher.sh explain TICKER   why a stock has its weight or none, why a sector trends or not

  --master URL   where Spark runs: local[2,4] (default, or $SPARK_MASTER), spark://..., yarn, k8s://...
  --environment FILE   a packed Python environment (.tar.gz) for the executors of a
                 cluster whose machines do not have this one at the same path
  --bulk         settings for years of data (conf/spark-bulk.conf) instead of a small daily run
  --conf         a setting of Spark
TEXT
}

fail() {
  local code="$1"
  shift
  echo "spark_jobs_launcher.sh: $*" >&2
  exit "$code"
}

# Print the folder of this script; symbolic links to it are followed.
script_folder() {
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

# Print each job with the first line of its docstring.
list_jobs() {
  local file
  for file in "$root"/jobs/[a-z]*.py; do
    [ -e "$file" ] || continue
    printf '%-30s %s\n' "$(basename "$file" .py)" "$(sed -n '1s/^"""\([^"]*\).*/\1/p' "$file")"
  done
}

wants_only_words() {
  local argument
  for argument in "$@"; do
    case "$argument" in -h | --help | --version) return 0 ;; esac
  done
  return 1
}

in_checkout() {
  local spark
  root="$here"
  package="$root/spark_app"
  python="$root/.venv/bin/python"
  unset SPARK_ADDED_JARS
  for spark in "$root"/.venv/lib/python3*/site-packages/pyspark; do export SPARK_HOME="$spark"; done
}

# pip installs this script beside its Python, and everything else into the package.
in_environment() {
  # `~` is known to bash without HOME, too.
  local places shared=~/.local/share
  local home="${XDG_DATA_HOME:-$shared}/spark_app"
  python="$here/python"
  [ -x "$python" ] || python="$(command -v python3)" || fail 69 "no Python in $here or on PATH"
  places="$("$python" -c '
import importlib.util
for name in ("spark_app", "pyspark"):
    print(importlib.util.find_spec(name).submodule_search_locations[0])' 2>/dev/null)" ||
    fail 69 "$python has no spark_app and pyspark: install them with: pip install spark_app"
  package="${places%%$'\n'*}"
  root="$package/installed"
  # An editable install uses the checkout.
  [ -d "$root" ] || { root="$(dirname "$package")" && home="$root/var"; }
  export SPARK_HOME="${places#*$'\n'}" SPARK_CONF_DIR="$root/conf" PYSPARK_PYTHON="$python"
  export SPARK_APP_HOME="${SPARK_APP_HOME:-$home}"
  case "$SPARK_APP_HOME" in /*) ;; *) SPARK_APP_HOME="$PWD/$SPARK_APP_HOME" ;; esac
  # The user's pyspark is never changed: what set-up adds is here, also for spark-env.sh and spark_app/spark/jars.py.
  export SPARK_ADDED_JARS="${SPARK_ADDED_JARS:-$SPARK_APP_HOME/spark}"
  export SPARK_DIST_CLASSPATH="$SPARK_ADDED_JARS/jars/*"
}

# Fetch the jars, and make the archive of JVM classes.
set_up() {
  if [ "$here" = "$root" ]; then
    [ -d "$root/requirements" ] || { echo "nothing to do: an image is set up when it is built" && exit; }
    exec "$root/scripts/setup.sh"
  fi
  "$python" "$root/scripts/fetch_jars.py"
  bash "$root/scripts/make_class_archive.sh" "$here/spark_jobs_launcher.sh" ||
    echo "no class archive: jobs work, but start more slowly"
}

set_up_s3() {
  [ -x "$python" ] || fail 69 "no environment in $root: run \`make setup\` there first"
  exec "$python" "$root/scripts/fetch_jars.py" "$root/conf/s3-jars.lock"
}

# Executors unpack the archive in their working folder; the driver keeps this machine's Python.
use_environment() {
  [ -f "$1" ] || fail 2 "--environment $1: no such file"
  options+=(--archives "$1#environment" --conf "spark.pyspark.python=./environment/bin/python" \
    --conf "spark.pyspark.driver.python=$python")
}

# After pip has installed a newer pipeline they are missing until the next `setup`.
has_jars() {
  local coordinates group artifact version
  while read -r coordinates _; do
    IFS=: read -r group artifact version <<<"$coordinates"
    case "$group" in '' | '#'*) continue ;; esac
    [ -f "${SPARK_ADDED_JARS:-$SPARK_HOME}/jars/$artifact-$version.jar" ] || return 1
  done <"$root/conf/jars.lock"
}

# A user's pyspark has no link to our conf folder, and Spark 4.2 does not find spark-env.sh in a path with spaces: so the
# file is read here, with the arguments that Spark would give it.
load_spark_env() {
  . "$SPARK_CONF_DIR/spark-env.sh"
  export SPARK_ENV_LOADED=1
}

print_completion() {
  case "${1:-}" in
    bash) ;;
    zsh) echo 'autoload -U +X bashcompinit && bashcompinit' ;;
    *) fail 2 "unknown shell '${1:-}': choose from bash, zsh" ;;
  esac
  cat "$root/scripts/completion.bash"
}

# The variables of another Spark or Python must not reach this one.
unset CDPATH PYTHONPATH PYTHONHOME PYTHONSTARTUP SPARK_HOME SPARK_CONF_DIR SPARK_ENV_LOADED SPARK_PREPEND_CLASSES \
  SPARK_DIST_CLASSPATH SPARK_REMOTE PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON PYSPARK_DRIVER_PYTHON_OPTS PYSPARK_SUBMIT_ARGS \
  LAUNCHER_TERMINAL LAUNCHER_STARTED
# pydantic would look for plugins in each installed package, at each start: there are none.
export PYDANTIC_DISABLE_PLUGINS=__all__
here="$(script_folder)"
if [ -d "$here/jobs" ]; then in_checkout; else in_environment; fi

master="${SPARK_MASTER:-local[2,4]}"
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --master | --conf | --environment) [ $# -ge 2 ] || fail 2 "option $1 needs a value" ;;
  esac
  case "$1" in
    --master) master="$2" && shift 2 ;;
    --conf) options+=(--conf "$2") && shift 2 ;;
    --environment) use_environment "$2" && shift 2 ;;
    --bulk) options+=(--properties-file "$root/conf/spark-bulk.conf" --load-spark-defaults) && shift ;;
    --list) list_jobs; exit ;;
    --project) echo "$root"; exit ;;
    --version) sed -n 's/^__version__ = "\(.*\)"$/spark_app \1/p' "$package/__init__.py"; exit ;;
    -h | --help) usage && exit ;;
    -*) fail 2 "unknown option $1: see --help" ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { usage >&2 && exit 2; }
job="$1" && shift

case "$job" in
  completion) print_completion "$@"; exit ;;
  setup) if [ "${1:-}" = s3 ]; then set_up_s3; else set_up; fi; exit ;;
esac
[ -x "$python" ] || fail 69 "no environment in $root: run \`make setup\` there first"
# -P: Python would look for modules in the user's current folder first.
case "$job" in
  psql | db | show) exec "$python" -P -m spark_app.cli.database "$job" "$@" ;;
  status | explain) exec "$python" -P -m "spark_app.cli.$job" "$@" ;;
esac
script="$root/jobs/$job.py"
# It reads the served tables, without Spark.
[ "$job" != report ] || exec "$python" "$script" "$@"
[[ $job =~ ^[a-z][a-z0-9_]*$ && -f $script ]] || fail 2 "unknown job $job: see --list"
# Spark would end with a stack trace.
[[ $master =~ ^(local(\[([1-9][0-9]*|\*)(,[1-9][0-9]*)?\])?|local-cluster\[.*\]|spark://[^/]+:[0-9]+|yarn|k8s://.+)$ ]] ||
  fail 2 "invalid master '$master': expected local[N], spark://HOST:PORT, yarn or k8s://URL"
case "$master" in
  yarn*) [ -n "${HADOOP_CONF_DIR:-}${YARN_CONF_DIR:-}" ] || fail 2 "--master yarn: set HADOOP_CONF_DIR to the folder of Hadoop's settings" ;;
esac
# spark-submit joins a job's stderr to stdout: where they differ, the job opens ours again. Two that write to one file
# have to append.
stderr="/proc/$$/fd/2"
if [ -w "$stderr" ] && ! [ "/proc/$$/fd/1" -ef "$stderr" ]; then
  [ ! -f "$stderr" ] || exec 2>>"$stderr"
  export LAUNCHER_STDERR="$stderr"
fi
# Help texts need no JVM.
if wants_only_words "$@"; then exec "$python" "$script" "$@"; fi
has_jars || fail 69 "the jars for Delta and PostgreSQL are not installed: run \`$0 setup\` first"
if [ -n "${SPARK_ADDED_JARS:-}" ]; then
  load_spark_env org.apache.spark.deploy.SparkSubmit --master "$master" ${options[@]+"${options[@]}"}
fi
# Spark and Python take seconds until the job can say something. A job's stdout is a pipe of Spark's: where ours is a
# terminal, it draws its progress there.
echo "$job: starting Spark"
export LAUNCHER_STARTED=1
if [ -t 1 ]; then { LAUNCHER_TERMINAL="$(tty <&3)" && export LAUNCHER_TERMINAL; } 3>&1 || true; fi
exec "$SPARK_HOME/bin/spark-submit" --master "$master" ${options[@]+"${options[@]}"} "$script" "$@"
