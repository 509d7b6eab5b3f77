"""The wheel, the zip for Spark's workers, and the launcher in an environment that pip installed it into."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

from spark_app import __version__

ROOT = Path(__file__).resolve().parents[2]
PYSPARK = Path(pyspark.__file__).parent
PAGE = {path.relative_to(ROOT).as_posix() for path in (ROOT / "spark_app" / "results" / "page").glob("*.[cj][si]*")}
MIGRATIONS = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("spark_app/storage/postgres/migrations/*.sql")}
SCHEDULES = ("airflow/dags/spark_app_daily.py", "scripts/cron_job.sh", "scripts/last_session.py")


def run(*command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside the checkout, with the named environment variables only."""
    base = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(command, cwd="/", env={**base, **env}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, ROOT / "scripts" / "package.py", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"spark_app-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment in a path with a space, with the wheel; its requirements come from this environment."""
    folder = tmp_path_factory.mktemp("an environment") / "venv"
    # Without pip in it: that of this environment installs, in a second instead of ten.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True)
    site = site_packages(folder)
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # The project's own .pth is not followed from there, so it is the installed package that is imported.
    assert run(python, "-c", "import spark_app; print(spark_app.__file__)").stdout.startswith(str(site))
    return folder


def site_packages(environment: Path) -> Path:
    (site,) = (environment / "lib").glob("python3*/site-packages")
    return site


def launcher(environment: Path) -> Path:
    return environment / "bin" / "spark_jobs_launcher.sh"


def test_the_wheel_carries_the_package_its_sql_its_types_and_what_a_run_needs_besides(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    jobs = {f"spark_app/installed/jobs/{path.name}" for path in ROOT.glob("jobs/*.py")}
    conf = {f"spark_app/installed/conf/{path.name}" for path in ROOT.glob("conf/*")}
    schedules = {f"spark_app/installed/{name}" for name in SCHEDULES}
    assert jobs
    assert MIGRATIONS
    assert schedules <= names
    assert PAGE | MIGRATIONS | jobs | conf | {"spark_app/storage/postgres/roles.sql", "spark_app/py.typed"} <= names
    assert {name.split("/")[0] for name in names if not name.startswith("spark_app-")} == {"spark_app"}


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        information = f"spark_app-{__version__}.dist-info"
        assert archive.read(f"{information}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert "License: Apache-2.0" in archive.read(f"{information}/METADATA").decode().splitlines()


def test_the_wheel_requires_what_the_lock_is_made_of(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"spark_app-{__version__}.dist-info/METADATA").decode()
    wanted = [line.split("#")[0].strip() for line in (ROOT / "requirements" / "runtime.in").read_text().splitlines()]
    required = re.findall(r"^Requires-Dist: (\S+)", metadata, re.MULTILINE)
    assert len(required) == len([line for line in wanted if line])
    assert "pyspark==4.2.0" in required


def test_built_again_both_are_byte_for_byte_the_same(dist: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "package.py", tmp_path], check=True, capture_output=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        file.name: file.read_bytes() for file in dist.iterdir()
    }


def test_the_zip_holds_the_package_alone_and_its_sql_is_read_from_within(dist: Path) -> None:
    file = dist / f"spark_app-{__version__}.zip"
    names = set(zipfile.ZipFile(file).namelist())
    assert (
        PAGE | MIGRATIONS | {"spark_app/storage/postgres/roles.sql", "spark_app/__init__.py", "spark_app/py.typed"}
        <= names
    )
    assert {name.split("/")[0] for name in names} == {"spark_app"}
    read = (
        "import sys; from importlib import resources; from spark_app.storage.postgres.migrate import migrations;"
        "from spark_app.config.settings import load_settings;"
        "roles = (resources.files('spark_app.storage.postgres') / 'roles.sql').read_text();"
        "print(sys.modules['spark_app'].__file__, len(migrations()), 'GRANT' in roles, load_settings().fetch.wave_size)"
    )
    done = run(sys.executable, "-c", read, PYTHONPATH=str(file))
    assert done.stdout.split() == [f"{file}/spark_app/__init__.py", str(len(MIGRATIONS)), "True", "25"], done.stderr


def test_there_is_one_version(environment: Path, wheel: Path) -> None:
    said = f"spark_app {__version__}\n"
    assert run(launcher(environment), "--version").stdout == said
    assert run(launcher(environment), "daily_pipeline", "--version").stdout == said
    assert run(ROOT / "spark_jobs_launcher.sh", "--version").stdout == said
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


def test_the_installed_launcher_lists_the_jobs_of_the_checkout(environment: Path) -> None:
    installed = run(launcher(environment), "--list")
    assert (installed.returncode, installed.stderr) == (0, "")
    assert installed.stdout == run(ROOT / "spark_jobs_launcher.sh", "--list").stdout


def test_a_link_to_the_installed_launcher_explains_a_job_and_names_itself_as_pip_installs_it(
    environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").symlink_to(launcher(environment))
    done = run(tmp_path / "run", "backfill_etf_benchmarks", "--help")
    assert done.returncode == 0
    assert "\n  spark_jobs_launcher.sh backfill_etf_benchmarks --days 252 --delay 2\n" in done.stdout


FAKE_SPARK_SUBMIT = """#!/usr/bin/env bash
printf '%s\\n' "$SPARK_APP_HOME" "$PYSPARK_INSTALLED_PYTHON" "$SPARK_DIST_CLASSPATH" "$@"
exit 75
"""


@pytest.fixture
def fake_spark(environment: Path) -> Iterator[Path]:
    """A fake pyspark in the environment, whose spark-submit prints how it was called."""
    spark = site_packages(environment) / "pyspark"
    (spark / "bin").mkdir(parents=True)
    (spark / "__init__.py").touch()
    (spark / "bin" / "spark-submit").write_text(FAKE_SPARK_SUBMIT)
    (spark / "bin" / "spark-submit").chmod(0o755)
    yield spark
    shutil.rmtree(spark)


def add_jars(folder: Path) -> None:
    folder.mkdir(parents=True)
    for line in (ROOT / "conf" / "jars.lock").read_text().splitlines():
        if not line.startswith("#"):
            _, artifact, version = line.split()[0].split(":")
            (folder / f"{artifact}-{version}.jar").touch()


@pytest.mark.parametrize(
    ("env", "home"),
    [
        ({"HOME": "{tmp}/user"}, "{tmp}/user/.local/share/spark_app"),
        ({"HOME": "{tmp}/user", "XDG_DATA_HOME": "{tmp}/data"}, "{tmp}/data/spark_app"),
        ({"HOME": "{tmp}/user", "SPARK_APP_HOME": "{tmp}/else where"}, "{tmp}/else where"),
    ],
)
def test_a_job_runs_from_the_package_and_keeps_nothing_in_the_environment_that_pip_may_remove(
    environment: Path, fake_spark: Path, tmp_path: Path, env: dict[str, str], home: str
) -> None:
    env, home = {name: text.format(tmp=tmp_path) for name, text in env.items()}, home.format(tmp=tmp_path)
    add_jars(Path(home) / "spark" / "jars")
    done = run(launcher(environment), "stage1_etf_ohlc", "--as-of", "2024-05-10", **env)
    assert done.returncode == 75, done.stderr
    installed, python = fake_spark.parent / "spark_app" / "installed", environment / "bin" / "python"
    job = f"{installed}/jobs/stage1_etf_ohlc.py"
    command = ["--master", "local[2,4]", job, "--as-of", "2024-05-10"]
    first = "stage1_etf_ohlc: starting Spark"
    assert done.stdout.splitlines() == [first, home, str(python), f"{home}/spark/jars/*", *command]
    printed = run(python, "-c", "from spark_app.config.installation import app_home; print(app_home())", **env)
    assert printed.stdout == f"{home}\n", printed.stderr


def test_what_the_installed_crontab_calls_runs_the_installed_launcher(environment: Path, tmp_path: Path) -> None:
    project = Path(run(launcher(environment), "--project").stdout.strip())
    assert project == site_packages(environment) / "spark_app" / "installed"
    assert "$PROJECT/scripts/cron_job.sh" in (project / "conf" / "crontab").read_text()
    # By a link, which stays when Python changes; data is where the launcher has it.
    (tmp_path / "project").symlink_to(project)
    done = run(tmp_path / "project" / "scripts" / "cron_job.sh", "verify_data", "--version", HOME=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (log,) = (tmp_path / ".local" / "share" / "spark_app" / "logs" / "cron").glob("verify_data.*.log")
    assert log.read_text() == f"spark_app {__version__}\n"


def test_the_installed_dag_asks_the_trading_calendar_of_its_environment(environment: Path) -> None:
    project = Path(run(launcher(environment), "--project").stdout.strip())
    python = environment / "bin" / "python"
    # After Memorial Day.
    done = run(python, project / "scripts" / "last_session.py", "2024-05-28T09:00+00:00")
    assert (done.stdout, done.stderr) == ("2024-05-24\n", "")


def test_without_sparks_jars_the_installed_launcher_names_the_command_that_fetches_them(
    environment: Path, fake_spark: Path, tmp_path: Path
) -> None:
    done = run(launcher(environment), "daily_pipeline", HOME=str(tmp_path))
    assert done.returncode == 69
    assert f"run `{launcher(environment)} setup` first" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def users_spark(environment: Path) -> Iterator[Path]:
    """A real pyspark in the environment, as pip installs it: without what set-up adds."""
    spark = site_packages(environment) / "pyspark"
    added = shutil.ignore_patterns("conf", "kafka-jars", "s3-jars", "delta-*.jar", "postgresql-*.jar")
    shutil.copytree(PYSPARK, spark, ignore=added)
    yield spark
    shutil.rmtree(spark)


@pytest.fixture
def maven_repository(tmp_path: Path) -> str:
    """The URL of a folder laid out as a Maven repository, with the jars of conf/jars.lock and conf/kafka-jars.lock."""
    for name, folder in (("jars.lock", "jars"), ("kafka-jars.lock", "kafka-jars")):
        for line in (ROOT / "conf" / name).read_text().splitlines():
            if not line.startswith("#"):
                group, artifact, version = line.split()[0].split(":")
                place = tmp_path / "maven" / group.replace(".", "/") / artifact / version
                place.mkdir(parents=True)
                (place / f"{artifact}-{version}.jar").symlink_to(PYSPARK / folder / f"{artifact}-{version}.jar")
    return (tmp_path / "maven").as_uri()


@pytest.mark.campaign
def test_set_up_and_a_run_leave_the_users_pyspark_as_it_was(
    environment: Path, users_spark: Path, maven_repository: str, open_folder: Path
) -> None:
    home = open_folder / "a home"
    env = {"SPARK_APP_HOME": str(home), "MAVEN_REPOSITORY_URL": maven_repository}
    before = contents(users_spark)
    done = run(launcher(environment), "setup", **env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    added = {path.name for path in (home / "spark").iterdir()}
    assert added == {"jars", "kafka-jars", "spark-classes.jsa"}

    done = run(launcher(environment), "daily_pipeline", "--source", "synthetic", **env, SPARK_PRINT_LAUNCH_COMMAND="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stage5_portfolio_allocation" in done.stdout
    assert f"-XX:SharedArchiveFile={home}/spark/spark-classes.jsa" in done.stderr
    assert "WARNING" not in done.stderr
    assert contents(users_spark) == before

    # With JVM options of the user's own there is no archive; the jars are found all the same.
    options = {"SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1", "SPARK_PRINT_LAUNCH_COMMAND": "1"}
    done = run(launcher(environment), "stage1_etf_ohlc", "--source", "synthetic", "--force", **env, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SharedArchiveFile" not in done.stderr
    assert contents(users_spark) == before


def contents(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file, by its path; the target of a link."""
    files = (path for path in sorted(folder.rglob("*")) if not path.is_dir())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_beside_a_python_without_the_package_the_launcher_says_so(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "spark_jobs_launcher.sh").write_bytes(launcher(environment).read_bytes())
    (tmp_path / "python").symlink_to("/usr/bin/false")
    done = run("bash", tmp_path / "spark_jobs_launcher.sh", "--list")
    assert done.returncode == 69
    assert "pip install" in done.stderr
