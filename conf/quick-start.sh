# Sourced by spark-env.sh: what makes a small daily run start quickly, each with the seconds of a run that it saves and
# what breaks if it is wrong. A SPARK_SUBMIT_OPTS of the user's own replaces all options of the driver's JVM.

# The small JVM that only puts spark-submit's command line together.
export SPARK_LAUNCHER_OPTS="${SPARK_LAUNCHER_OPTS:--XX:TieredStopAtLevel=1 -XX:+UseSerialGC}"

# Options of the driver's JVM: the fast compiler alone, no parallel collector, a heap that is collected seldom.
_jvm_options() {
  printf '%s ' -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC \
    -XX:InitialRAMPercentage=10 -XX:NewRatio=1 -XX:MetaspaceSize=256m -Duser.timezone=UTC -Dio.netty.jfr.enabled=false
}

# Classes from the archive of scripts/make_class_archive.sh; SPARK_CLASS_ARCHIVE names one to be written.
# Java refuses an archive when a folder with files is on the class path, and Spark puts its conf folder there,
# for us only because of the log settings: so the class path is the jars alone, and the log settings are named.
# Without Spark's machine learning, which would register its functions with every session.
_class_archive_options() {
  local archive="" class_path="" jar own_class_path
  if [ -n "${SPARK_CLASS_ARCHIVE:-}" ]; then
    archive="-XX:ArchiveClassesAtExit=\"$SPARK_CLASS_ARCHIVE\""
  elif [ -f "$_environment/spark-classes.jsa" ]; then
    archive="-XX:SharedArchiveFile=\"$_environment/spark-classes.jsa\""
  fi
  own_class_path="${HADOOP_CONF_DIR:-}${YARN_CONF_DIR:-}"
  # The launcher names the jars that set-up added.
  [ "${SPARK_DIST_CLASSPATH:-}" = "${SPARK_ADDED_JARS:-}/jars/*" ] || own_class_path+="${SPARK_DIST_CLASSPATH:-}"
  case "$* $(cat "$_conf/spark-defaults.conf")" in
    *driver-class-path* | *driver.extraClassPath*) own_class_path+=named ;;
  esac
  [ -n "$archive" ] && [ -z "$own_class_path" ] || return 0
  for jar in "$SPARK_HOME"/jars/*.jar ${SPARK_ADDED_JARS:+"$SPARK_ADDED_JARS"/jars/*.jar}; do
    case "$jar" in */spark-mllib_*) ;; *) class_path="$class_path:$jar" ;; esac
  done
  printf '%s ' "$archive" -Xlog:cds=off -Xlog:cds+dynamic=off \
    "-cp \"${class_path#:}\"" "-Dlog4j2.configurationFile=\"$_conf/log4j2.properties\""
}

if [ -z "${SPARK_SUBMIT_OPTS:-}" ] && [ "${1:-}" = org.apache.spark.deploy.SparkSubmit ]; then
  SPARK_SUBMIT_OPTS="$(_jvm_options)$(_class_archive_options "$@")"
  export SPARK_SUBMIT_OPTS
fi
unset -f _jvm_options _class_archive_options
