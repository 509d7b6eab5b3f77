# Sourced by every spark-submit of this environment (pyspark/conf is a link to this folder), with its
# arguments: so a bare `spark-submit` and the launcher behave alike.
# Spark exports all that is set here; only what is named shall be.
set +a

_conf="$(cd "$(dirname "${BASH_SOURCE[0]}")" >/dev/null && pwd -P)"
_project="$(dirname "$_conf")"

. "$_project/scripts/require_java.sh"
require_java

# Another Python would know neither the pipeline nor its libraries. (On a cluster, for the executors: spark.pyspark.python.)
# Where pip installed the pipeline there is no .venv, and the launcher names the Python.
# The driver, and with a local master the workers, start it by a script that spares them Spark's zipped PySpark.
_environment="$SPARK_HOME"
if [ -d "$_project/.venv" ]; then
  _environment="$_project/.venv"
  export PYSPARK_PYTHON="$_environment/bin/python"
fi
export PYSPARK_DRIVER_PYTHON="$_project/scripts/spark_python.sh" PYSPARK_INSTALLED_PYTHON="${PYSPARK_PYTHON:-python3}"

# Where the pipeline keeps everything, here for the log file; empty counts as unset.
export SPARK_APP_HOME="${SPARK_APP_HOME:-$_project/var}"

# A local master, or a cluster on loopback, needs nobody from outside, and not every machine can resolve its own name.
# The daemons of a cluster are started with this file too: their place is their own affair.
if [ "${1:-}" = org.apache.spark.deploy.SparkSubmit ]; then
  _masters="$* $(sed -n 's/^spark\.master  */spark.master=/p' "$_conf/spark-defaults.conf")"
  if [[ $_masters =~ (--master[ =]|spark\.master=)([^ ]*) ]]; then
    case "${BASH_REMATCH[2]}" in
      local*) export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}" PYSPARK_PYTHON="$PYSPARK_DRIVER_PYTHON" ;;
      spark://127.* | spark://localhost:*) export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}" ;;
    esac
  fi
fi

# Options of the driver's JVM for a quick start: the fast compiler alone, no parallel collector, a heap that is
# collected seldom, and classes from the archive that set-up makes (SPARK_CLASS_ARCHIVE names one to be written).
# In UTC: elsewhere Delta checks its table state at every commit by computing it anew.
# Without the events that Netty would register with the flight recorder.
# A SPARK_SUBMIT_OPTS of the user's own replaces all of it.
# Java refuses an archive when a folder with files is on the class path, and Spark puts its conf folder there,
# for us only because of the log settings: so the class path is the jars alone, and the log settings are named.
# Without Spark's machine learning, which would register its functions with every session, half a second's work.
if [ -z "${SPARK_SUBMIT_OPTS:-}" ] && [ "${1:-}" = org.apache.spark.deploy.SparkSubmit ]; then
  SPARK_SUBMIT_OPTS="-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"
  SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -XX:InitialRAMPercentage=10 -XX:NewRatio=1 -XX:MetaspaceSize=256m"
  SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -Duser.timezone=UTC -Dio.netty.jfr.enabled=false"
  _archive=""
  if [ -n "${SPARK_CLASS_ARCHIVE:-}" ]; then
    _archive="-XX:ArchiveClassesAtExit=\"$SPARK_CLASS_ARCHIVE\""
  elif [ -f "$_environment/spark-classes.jsa" ]; then
    _archive="-XX:SharedArchiveFile=\"$_environment/spark-classes.jsa\""
  fi
  case "$* $(cat "$_conf/spark-defaults.conf")" in
    *driver-class-path* | *driver.extraClassPath*) _archive="" ;;
  esac
  if [ -n "$_archive" ] && [ -z "${HADOOP_CONF_DIR:-}${YARN_CONF_DIR:-}${SPARK_DIST_CLASSPATH:-}" ]; then
    SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS $_archive -Xlog:cds=off -Xlog:cds+dynamic=off"
    _class_path=""
    for _jar in "$SPARK_HOME"/jars/*.jar; do
      case "$_jar" in */spark-mllib_*) ;; *) _class_path="$_class_path:$_jar" ;; esac
    done
    SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -cp \"${_class_path#:}\" -Dlog4j2.configurationFile=\"$_conf/log4j2.properties\""
  fi
  export SPARK_SUBMIT_OPTS
fi
# The small JVM that only puts the command line together.
export SPARK_LAUNCHER_OPTS="${SPARK_LAUNCHER_OPTS:--XX:TieredStopAtLevel=1 -XX:+UseSerialGC}"

unset _conf _project _environment _masters _archive _class_path _jar
