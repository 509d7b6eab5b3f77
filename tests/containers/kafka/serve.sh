#!/bin/bash
# Serve with the settings that the environment names: KAFKA_NODE_ID is node.id.
set -euo pipefail
settings=/tmp/server.properties
env | grep '^KAFKA_' | while IFS='=' read -r name value; do
  name=${name#KAFKA_}
  name=${name,,}
  echo "${name//_/.}=$value"
done >"$settings"
spark=$(echo /opt/spark_app/.venv/lib/python3*/site-packages/pyspark)
kafka() { java -Xmx400m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "/opt/kafka/*:$spark/jars/*" "$@"; }
kafka kafka.tools.StorageTool format --ignore-formatted -t c3BhcmtfYXBwLXRlc3RzLg -c "$settings"
kafka kafka.Kafka "$settings"
