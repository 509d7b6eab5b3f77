"""The pipeline where its users run it: on a real Spark cluster, on an S3 store, on HDFS. Everything is on loopback."""
