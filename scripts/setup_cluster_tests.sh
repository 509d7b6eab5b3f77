#!/usr/bin/env bash
# Fetch what `make test-cluster` needs besides .venv: the libraries for S3, an S3 store, and HDFS.
set -euo pipefail
unset CDPATH PYTHONPATH PYTHONHOME
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"

./spark_jobs_launcher.sh setup s3
.venv/bin/python scripts/fetch_jars.py requirements/hdfs-jars.lock .venv/hdfs
[ -x .venv/moto/bin/python ] || .venv/bin/python -m venv --without-pip .venv/moto
.venv/bin/uv pip sync --quiet --python .venv/moto/bin/python --require-hashes requirements/moto.txt
