SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-unit test-integration test-campaigns test-emulator coverage test-kafka test-airflow test-containers test-browser test-cluster soak twice check bench package docs clean lock audit sbom

# What another Python or Spark left in the environment must not reach ours.
unexport PYTHONPATH PYTHONHOME SPARK_HOME SPARK_CONF_DIR SPARK_ENV_LOADED PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON
# Nor may a demo, a test or a benchmark touch anybody's real database or staging.
own_world := unset DATABASE_URL DATABASE_ADMIN_URL DATABASE_PASSWORD_FILE SPARK_MASTER "$${!SPARK_APP_@}";
python := .venv/bin/python
compile := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --override overrides.in

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## make or refresh the environment in .venv
	@scripts/setup.sh

setup-dev:
	@scripts/setup.sh dev

demo: setup ## a year of a synthetic market in var/demo, with its page; AS_OF=DATE for another day
	@$(own_world) AS_OF="$(AS_OF)" scripts/demo.sh

# What a test needs is its markers; pyproject.toml says what each means.
elsewhere := kafka or airflow or containers or cluster or browser

test-unit: setup-dev ## run the tests that need no database, no Spark and no other process, in a minute
	@$(own_world) $(python) -m pytest -q -n 2 --ignore tests/emulator -m "not (spark or postgres or process or alone or $(elsewhere))"

many := -n 3 --dist loadfile --no-loadscope-reorder

# The five stages on a small market are in it: tests/stages/test_small_market.py.
test: setup-dev ## run the tests of all parts of the pipeline, in eight minutes
	@$(own_world) $(python) -m pytest $(many) --ignore tests/emulator -m "not (alone or integration or $(elsewhere))"
	@$(own_world) $(python) -m pytest -m "alone and not integration"

test-integration: setup-dev ## run jobs against what goes wrong: faults, a kill, restatements, retention; and backtests
	@$(own_world) $(python) -m pytest $(many) -m "integration and not (campaign or $(elsewhere))"

test-campaigns: setup-dev ## the same at length: more kills and faults, backfills, real prices, a user's own Spark
	@$(own_world) $(python) -m pytest $(many) -m "campaign and not alone"
	@$(own_world) $(python) -m pytest -m "campaign and alone"

test-emulator: setup-dev ## run the tests of the Yahoo emulator that other tests ask
	@$(own_world) $(python) -m pytest tests/emulator

# What runs in Spark's workers and in launched processes is not seen.
coverage: setup-dev ## run the tests that launch no job, and list the lines and branches that none of them takes
	@$(own_world) $(python) -m pytest -q --ignore tests/emulator -m "not (process or alone or $(elsewhere))" --cov --cov-report=term-missing:skip-covered

test-kafka: setup-dev ## run the tests with a real Kafka broker
	@$(own_world) $(python) -m pytest -m kafka

test-airflow: setup-dev ## run the Airflow DAG in a real Airflow
	@scripts/setup.sh airflow
	@$(own_world) $(python) -m pytest -m airflow tests/airflow

test-containers: setup-dev ## build the image and run it, alone and with docker-compose.yml; SUITE=trixie for another base
	@scripts/require_containers.sh
	@$(own_world) SUITE=$(SUITE) $(python) -m pytest -m containers tests/containers

test-browser: setup-dev ## look at the pages in a real Chromium: widths, dark, print, keyboard, accessibility
	@scripts/require_browser.sh
	@$(own_world) $(python) -m pytest -m browser tests/browser

test-cluster: setup-dev ## run the pipeline on a Spark cluster, on S3 and on HDFS, all on loopback
	@scripts/setup_cluster_tests.sh
	@$(own_world) $(python) -m pytest -m cluster tests/cluster

soak: setup-dev ## kill jobs in every phase, run them again, compare: an hour; options as SOAK="--seed 7 --kills 20"
	@$(own_world) $(python) -u -m tests.soak $(SOAK)

twice: setup-dev ## run the same day twice at once a hundred times, and jobs beside each other (an hour); options as TWICE="--rounds 5"
	@$(own_world) $(python) -m tests.soak.twice $(TWICE)

check: setup-dev ## format, lint, types, import rules
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy
	.venv/bin/lint-imports

bench: setup-dev ## measure the pipeline
	@$(own_world) $(python) benchmarks/run.py

package: setup ## build dist/: a wheel, and a zip for spark-submit --py-files
	@$(python) scripts/package.py

docs: setup-dev ## renew docs/CONFIGURATION.md, docs/DATA_DICTIONARY.md and conf/pipeline.toml from the code
	@$(python) scripts/configuration_page.py
	@$(python) scripts/data_dictionary.py

clean: ## remove .venv, caches, build files and the demo; what real runs brought to var stays
	rm -rf .venv .venv-airflow build dist *.egg-info var/demo .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: setup ## renew the locks of Python packages and jars
	cd requirements && for list in uv runtime dev airflow moto; do ../$(compile) $$list.in -o $$list.txt || exit 1; done
	$(python) scripts/fetch_jars.py --update
	$(python) scripts/fetch_jars.py --update conf/s3-jars.lock
	$(python) scripts/fetch_jars.py --update requirements/dev-jars.lock .venv/kafka-broker
	$(python) scripts/fetch_jars.py --update requirements/hdfs-jars.lock .venv/hdfs

audit: setup-dev ## list known vulnerabilities of the locked Python packages
	@$(python) scripts/audit.py

sbom: setup-dev ## write dist/sbom.json: all packages and jars with checksums
	@$(python) scripts/sbom.py
