"""What the machines of a cluster must reach, and the package that is sent to them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pydantic import SecretStr

from spark_app.config.installation import write_package
from spark_app.config.settings import DatabaseSettings, Settings, StagingSettings
from spark_app.errors import ServiceUnavailableError, UsageError
from spark_app.spark.cluster import check_cluster, is_local, is_on_this_machine

EMBEDDED = DatabaseSettings()
NAMED = DatabaseSettings(url=SecretStr("postgresql://someone:s3cret@db.example/market"))
HERE = Settings()
SHARED = Settings(staging=StagingSettings(path="s3a://market/staging"))
ELSEWHERE = "spark://spark.invalid:7077"


@pytest.mark.parametrize(
    ("master", "is_here"),
    [
        ("local", True),
        ("local[2,4]", True),
        ("local-cluster[2,1,1024]", True),
        ("spark://127.0.0.1:7077", True),
        ("spark://localhost:7077,127.0.0.2:7077", True),
        ("spark://127.0.0.1:7077,node2:7077", False),
        ("spark://node1:7077", False),
        ("spark://127.example.org:7077", False),
        ("yarn", False),
        ("k8s://https://127.0.0.1:6443", False),
    ],
)
def test_a_cluster_is_on_this_machine_where_all_its_masters_are_on_loopback(master: str, is_here: bool) -> None:
    assert is_on_this_machine(master) == is_here
    assert is_local(master) == (master in ("local", "local[2,4]"))


@pytest.mark.parametrize("master", ["local[x]", "local[0]", "spark://node1", "mesos://node1:5050", "foo"])
def test_a_master_that_spark_does_not_know_is_refused(master: str) -> None:
    with pytest.raises(UsageError, match=r"^invalid master '.*': expected local\[N\], spark://HOST:PORT, yarn or k8s"):
        check_cluster(master, SHARED, NAMED)


@pytest.mark.parametrize(
    ("settings", "database", "complaint"),
    [
        (SHARED, EMBEDDED, "cannot reach the embedded database: name one that they can (DATABASE_URL)"),
        (HERE, NAMED, "name a place for staging that they can"),
    ],
)
@pytest.mark.parametrize("master", ["yarn", ELSEWHERE])
def test_other_machines_need_a_database_and_a_staging_place_that_they_can_reach(
    master: str, settings: Settings, database: DatabaseSettings, complaint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        check_cluster(master, settings, database)
    assert str(refused.value).startswith(f"the machines of {master} cannot reach ")
    assert complaint in str(refused.value)


@pytest.mark.parametrize("master", ["local[2,4]", "local-cluster[2,1,1024]"])
def test_this_machine_needs_neither(master: str) -> None:
    assert is_on_this_machine(master)
    check_cluster(master, HERE, EMBEDDED)


@pytest.mark.parametrize("master", ["spark://127.0.0.1:9", ELSEWHERE, "spark://127.0.0.1:99999"])
def test_a_master_that_does_not_answer_is_named(master: str) -> None:
    with pytest.raises(ServiceUnavailableError, match=f"no Spark master answers at {master}"):
        check_cluster(master, SHARED, NAMED)


def test_the_package_holds_all_code_and_sql_and_is_imported_from_the_zip(tmp_path: Path) -> None:
    file = write_package(tmp_path / "spark_app.zip")
    names = zipfile.ZipFile(file).namelist()
    assert {"spark_app/sources/worker.py", "spark_app/storage/postgres/roles.sql", "spark_app/py.typed"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("/")]
    script = "import sys; sys.path.insert(0, sys.argv[1]); from spark_app.sources import worker; print(worker.__file__)"
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == f"{file}/spark_app/sources/worker.py"
