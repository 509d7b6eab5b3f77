# Sourced by spark-env.sh: what makes a small daily run start quickly, in shell; spark_app/spark/quick_start.py has what
# does so in Python. Seconds are of CPU, of a daily run on the synthetic market that takes 37 of them on two busy cores;
# each is the difference between a run with and a run without.
# A SPARK_SUBMIT_OPTS of the user's own replaces all options of the driver's JVM.

# Options of the driver's JVM. None of them changes a result.
_jvm_options() {
  # The fast compiler alone saves 19 s. If wrong: years of data take longer, so spark-bulk.conf takes it back. With it
  # Java's default for compiled code is 48 MB instead of 240, and a driver that fills it is interpreted.
  printf '%s ' -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m
  # One thread collects the heap, and seldom: 2.4 s and 2.5 s. If wrong: a large heap is collected in long pauses, so
  # spark-bulk.conf takes it back.
  printf '%s ' -XX:+UseSerialGC -XX:InitialRAMPercentage=10 -XX:NewRatio=1 -XX:MetaspaceSize=256m
  # Outside UTC Delta checks its table state at each commit by computing it again: 3 s. If wrong: Java's log has
  # another time zone; results do not, Spark's session is always in UTC.
  printf '%s ' -Duser.timezone=UTC
}

# The classes of the archive of scripts/make_class_archive.sh save 6.3 s; SPARK_CLASS_ARCHIVE names one to be written.
# If wrong: Java ignores an archive that does not fit, and the run is slower. Java also refuses it when a folder with
# files is on the class path, as Spark's conf folder is: so the class path is the jars alone, and the log settings are
# named. It is mapped at the addresses that it was written for: at random ones, Java's default, Java first changes every
# pointer in its 200 MB, 0.2 s of a start. If wrong: Spark's classes are at the same addresses in each run.
# Without Spark's machine learning on it, which registers its functions with each session: 2.6 s. If wrong: a job that
# uses it does not find it; none does.
_class_archive_options() {
  local archive="" class_path="" jar users_class_path
  if [ -n "${SPARK_CLASS_ARCHIVE:-}" ]; then
    archive="-XX:ArchiveClassesAtExit=\"$SPARK_CLASS_ARCHIVE\""
  elif [ -f "$_environment/spark-classes.jsa" ]; then
    archive="-XX:SharedArchiveFile=\"$_environment/spark-classes.jsa\""
    archive+=" -XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0"
  fi
  users_class_path="${HADOOP_CONF_DIR:-}${YARN_CONF_DIR:-}"
  # The launcher sets it to the jars that set-up adds.
  [ "${SPARK_DIST_CLASSPATH:-}" = "${SPARK_ADDED_JARS:-}/jars/*" ] || users_class_path+="${SPARK_DIST_CLASSPATH:-}"
  case "$* $(cat "$_conf/spark-defaults.conf")" in
    *driver-class-path* | *driver.extraClassPath*) users_class_path+=set ;;
  esac
  [ -n "$archive" ] && [ -z "$users_class_path" ] || return 0
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

# The driver, and with a local master the workers, import the installed PySpark instead of Spark's zipped copy, which
# each process would compile anew: 4 s. If wrong: Python imports the PySpark of another environment.
export PYSPARK_DRIVER_PYTHON="$_project/scripts/spark_python.sh" PYSPARK_INSTALLED_PYTHON="${PYSPARK_PYTHON:-python3}"
