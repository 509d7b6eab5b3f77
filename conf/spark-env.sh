# Sourced by every spark-submit of this environment (pyspark/conf is a link to this folder), with its arguments, so that
# a bare `spark-submit` behaves as the launcher.
# Spark sources it with `set -a`; here only what is named is exported.
set +a

_conf="$(cd "$(dirname "${BASH_SOURCE[0]}")" >/dev/null && pwd -P)"
_project="$(dirname "$_conf")"

# A job's first line, seconds before Java and Python can write one; the launcher has written its own.
if [ -z "${LAUNCHER_STARTED:-}" ] && [ "${1:-}" = org.apache.spark.deploy.SparkSubmit ]; then
  for _word in "$@"; do
    _name="${_word##*/}"
    case "$_word" in *jobs/*.py) [ ! -f "$_project/jobs/$_name" ] || echo "${_name%.py}: starting Spark" ;; esac
  done
fi

. "$_project/scripts/require_java.sh"
require_java

# The Python that has the pipeline and its libraries. (On a cluster, for the executors: spark.pyspark.python.)
# Where pip installed the pipeline, the launcher sets PYSPARK_PYTHON, and SPARK_ADDED_JARS, the folder of what set-up
# adds to Spark.
_environment="${SPARK_ADDED_JARS:-$_project/.venv}"
if [ -z "${SPARK_ADDED_JARS:-}" ] && [ -d "$_project/.venv" ]; then
  export PYSPARK_PYTHON="$_project/.venv/bin/python"
fi

. "$_conf/quick-start.sh"

# Java warns of a module that Spark asks for and no job uses; scripts/spark_java/bin/java leaves it out.
case "${1:-} ${JAVA_HOME:-}" in
  *" "*/scripts/spark_java) ;; # A job that starts another.
  org.apache.spark.deploy.SparkSubmit*)
    export SPARK_INSTALLED_JAVA="${JAVA_HOME:+$JAVA_HOME/bin/}java" JAVA_HOME="$_project/scripts/spark_java"
    ;;
esac

# The folder of all data, here for the log file; empty counts as unset.
export SPARK_APP_HOME="${SPARK_APP_HOME:-$_project/var}"

_fail() {
  printf '%s\n' "$2" >&2
  exit "$1"
}

# A local master, or a cluster on loopback, listens on loopback only; not every machine can resolve its own name.
# The daemons of a cluster source this file too; their address is not set here.
if [ "${1:-}" = org.apache.spark.deploy.SparkSubmit ]; then
  # Spark, and Hadoop below it, would end with a stack trace.
  id -un >/dev/null 2>&1 ||
    _fail 69 "the user with the id $(id -u) has no name, and Spark needs one: run as a user of /etc/passwd, or add it there"
  # Java alone opens 250 jars.
  if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt 1024 ] && ! ulimit -Sn 1024 2>/dev/null; then
    _fail 69 "too many open files: ulimit -n is $(ulimit -n), and Spark needs 1024: raise it (ulimit -n 1024)"
  fi
  _masters="$* $(sed -n 's/^spark\.master  */spark.master=/p' "$_conf/spark-defaults.conf")"
  if [[ $_masters =~ (--master[ =]|spark\.master=)([^ ]*) ]]; then
    _master="${BASH_REMATCH[2]}"
    # Spark, and Java below, would end with a stack trace.
    [[ $_master =~ ^(local(\[([1-9][0-9]*|\*)(,[1-9][0-9]*)?\])?|local-cluster\[.*|spark://[^/]+:[0-9]+|yarn|k8s://.+)$ ]] ||
      _fail 2 "invalid master '$_master': expected local[N], spark://HOST:PORT, yarn or k8s://URL"
    case "$_master" in
      local*) export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}" PYSPARK_PYTHON="$PYSPARK_DRIVER_PYTHON" ;;
      spark://127.* | spark://localhost:*) export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}" ;;
    esac
  fi
  if [[ $* =~ .*(--driver-memory[ =]|spark\.driver\.memory=)([^ ]*) ]]; then
    _memory="${BASH_REMATCH[2]}"
    [[ $_memory =~ ^([0-9]+[gGtT]|[0-9]{3,}[mM]|[0-9]{6,}[kK]|[0-9]{9,})$ ]] ||
      _fail 2 "invalid spark.driver.memory '$_memory': Spark needs at least 471859200 bytes; write it as 512m or 1g"
  fi
fi

unset _word _name _conf _project _environment _masters _master _memory
unset -f _fail
