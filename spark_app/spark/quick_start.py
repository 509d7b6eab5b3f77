"""What makes a small run start quickly, in Python; conf/quick-start.sh has what does so in shell.

A daily run on the synthetic market takes 37 s of CPU on two busy cores; the seconds below are part of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd
from pyspark.sql import SparkSession

from spark_app.spark.cluster import is_local
from spark_app.spark.java import java_class

_LOCAL_STORE = "file:"
_SITE_FILES = ("core-site.xml", "hdfs-site.xml", "mapred-site.xml", "yarn-site.xml")

_FUNCTIONS = ("col", "lit", "when", "max", "struct")
_OFTEN_USED = {
    "functions": _FUNCTIONS,
    "org.apache.spark.sql.functions": _FUNCTIONS,
    "PythonUtils": ("toSeq", "toList"),
    "PythonSQLUtils": (),
}

Worker = Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]


def warm_up(spark: SparkSession, worker: Worker) -> None:
    """Start Python workers and import what `worker` imports, while the driver prepares the database.

    Saves 1.1 s before the first response of stage 1, in which a worker imports its libraries. In stage 4, which needs
    the second worker, 0.8 s of a run that takes 20 (not of CPU). If wrong: the tasks of a stage start their workers
    themselves, and a short job may end a second later. One worker first: stage 1 needs no more, and the other core is
    busy.
    """
    context = spark.sparkContext
    is_barrier = is_local(str(context.master))
    if is_barrier:
        # Barrier mode starts all tasks at once, when all cores are free; one after the other they would find the first
        # worker idle. More tasks than can run at once would wait for minutes, as they might on a cluster.
        scheduler = context._jsc.sc()
        number = scheduler.maxNumConcurrentTasks(scheduler.resourceProfileManager().defaultResourceProfile())
    else:
        number = context.defaultParallelism
    for count in (1, number):
        spark.range(0, count, 1, count).mapInPandas(worker, "nothing int", barrier=is_barrier).collect()


def clear_hadoop_defaults(spark: SparkSession, *places: str) -> None:
    """Clear Hadoop's 1,100 default settings, which Spark sends with each scan of files and with each write.

    Saves 2 s of the CPU (of a run that took 28). Only where all is local: no cluster, none of `places`, which the run
    reads or writes, on another store, and no settings of the user's own in Hadoop's files; those of Spark that begin
    with spark.hadoop are kept. If wrong: another file system, as S3, is used without Hadoop's defaults for it.
    """
    context = spark.sparkContext
    settings = context._jsc.hadoopConfiguration()
    is_default_local = settings.get("fs.defaultFS", _LOCAL_STORE).startswith(_LOCAL_STORE)
    are_places_local = is_default_local and not any("://" in place for place in places)
    has_own_files = any(settings.getResource(name) is not None for name in _SITE_FILES)
    if not is_local(str(context.master)) or not are_places_local or has_own_files:
        return
    settings.clear()
    hadoop = java_class(spark, "org.apache.spark.deploy.SparkHadoopUtil").get()
    hadoop.appendS3AndSparkHadoopHiveConfigurations(context._jsc.sc().conf(), settings)


def remember_java_functions(spark: SparkSession) -> None:
    """Look up the Java functions that columns are made with once, and keep them where PySpark looks for them.

    Otherwise it asks Java for the class and for the function at each use, 6,000 times in a run. Saves 1.5 s of the CPU
    (of a run that took 23). Nothing can be wrong: a Java function does not change while the JVM runs.
    """
    view = spark.sparkContext._jvm
    for name, functions in _OFTEN_USED.items():
        found = getattr(view, name)
        setattr(view, name, found)
        for function in functions:
            setattr(found, function, getattr(found, function))
