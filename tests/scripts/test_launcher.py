"""The launcher and conf/spark-env.sh, in a clone with a fake Spark, Python and Java that print their arguments."""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAKE_SPARK_SUBMIT = """#!/usr/bin/env bash
printf '%s\\n' "$@"
echo "PYTHONPATH=${PYTHONPATH:-} SPARK_CONF_DIR=${SPARK_CONF_DIR:-} pid=$$"
exit 75
"""
FAKE_PYTHON = '#!/usr/bin/env bash\necho python "$@"\n'
JAVA = "#!/usr/bin/env bash\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n"


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in a path with a space, with one job."""
    clone = tmp_path / "a clone"
    for folder in ("conf", "scripts"):
        shutil.copytree(ROOT / folder, clone / folder)
    shutil.copy(ROOT / "spark_jobs_launcher.sh", clone)
    (clone / "jobs").mkdir()
    (clone / "jobs" / "one_job.py").write_text('"""Does one thing.\n\nAt length.\n"""\n')
    spark = clone / ".venv" / "lib" / "python3.11" / "site-packages" / "pyspark"
    _write_program(spark / "bin" / "spark-submit", FAKE_SPARK_SUBMIT)
    for line in (ROOT / "conf" / "jars.lock").read_text().splitlines():
        if not line.startswith("#"):
            _, artifact, version = line.split()[0].split(":")
            _write_program(spark / "jars" / f"{artifact}-{version}.jar", "")
    _write_program(clone / ".venv" / "bin" / "python", FAKE_PYTHON)
    _write_program(clone / "java" / "bin" / "java", JAVA.format(version="17.0.15"))
    return clone


def _run(launcher: Path, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(launcher), *arguments]
    base = {"PATH": os.environ["PATH"], "HOME": str(launcher.parent)}
    return subprocess.run(command, cwd=cwd, env={**base, **env}, capture_output=True, text=True, check=False)


def test_a_job_goes_to_spark_submit_with_its_arguments_and_its_exit_code_comes_back(clone: Path) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", "one_job", "--as-of", "2024-05-10", "two words")
    assert done.returncode == 75
    assert done.stdout.splitlines()[:7] == [
        "one_job: starting Spark",
        "--master",
        "local[2,4]",
        str(clone / "jobs" / "one_job.py"),
        "--as-of",
        "2024-05-10",
        "two words",
    ]


def test_spark_submit_takes_over_the_process_so_that_signals_reach_it(clone: Path) -> None:
    command = [str(clone / "spark_jobs_launcher.sh"), "one_job"]
    with subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate()
    assert f"pid={process.pid}" in output


def test_a_link_to_the_launcher_works_from_another_folder(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "run"
    link.symlink_to(Path("..") / clone.name / "spark_jobs_launcher.sh")
    done = _run(link, "one_job", cwd=Path("/"))
    assert str(clone / "jobs" / "one_job.py") in done.stdout


def test_the_command_line_beats_spark_master_of_the_environment(clone: Path) -> None:
    launcher = clone / "spark_jobs_launcher.sh"
    from_environment = _run(launcher, "one_job", SPARK_MASTER="spark://a:7077").stdout.splitlines()
    from_command_line = _run(
        launcher, "--master", "local", "one_job", SPARK_MASTER="spark://a:7077"
    ).stdout.splitlines()
    assert (from_environment[2], from_command_line[2]) == ("spark://a:7077", "local")


@pytest.mark.parametrize("master", ["bogus", "spark://host", "local[0]", "local[x]", "yarn-client", "", "local; id"])
def test_a_master_that_spark_does_not_know_is_refused_in_one_sentence(clone: Path, master: str) -> None:
    refused = _run(clone / "spark_jobs_launcher.sh", "--master", master, "one_job")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"spark_jobs_launcher.sh: invalid master '{master}': expected local[N], spark://HOST:PORT, yarn or k8s://URL\n"
    )


@pytest.mark.parametrize(
    "master",
    [
        *("local", "local[*]", "local[2,4]", "local[*,3]", "local-cluster[2,1,1024]"),
        *("spark://a:7077", "spark://a:7077,b:7077", "spark://[::1]:7077", "k8s://https://a:6443"),
    ],
)
def test_the_masters_that_spark_knows_are_passed_on(clone: Path, master: str) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", "--master", master, "one_job")
    assert done.stdout.splitlines()[1:3] == ["--master", master]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="without /proc errors stay in stdout")
@pytest.mark.parametrize(
    ("redirected", "shown"),
    [
        # Two programs that write to one file append; spark-submit itself has the pid of the launcher.
        ("2>err", ["one_job: starting Spark", "progress", "--err", "of java", "of the job"]),
        (">out 2>&1; cat out", ["one_job: starting Spark", "none", "progress", "of java", "--err"]),
    ],
)
def test_a_job_learns_where_stderr_is_unless_it_is_that_of_stdout(
    clone: Path, redirected: str, shown: list[str]
) -> None:
    told = (
        "#!/usr/bin/env bash\n"
        'if [ "${LAUNCHER_STDERR:-none}" = "/proc/$$/fd/2" ]; then echo "of the job" >>"$LAUNCHER_STDERR"\n'
        'else echo "${LAUNCHER_STDERR:-none}"; fi\n'
        "echo progress; echo of java >&2\n"
    )
    _write_program(clone / ".venv" / "lib" / "python3.11" / "site-packages" / "pyspark" / "bin" / "spark-submit", told)
    shell = f"touch err; ./spark_jobs_launcher.sh one_job {redirected}; echo --err; cat err"
    done = subprocess.run(["bash", "-c", shell], cwd=clone, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == sorted(shown)


def test_a_job_learns_which_terminal_it_may_draw_on_and_none_where_stdout_is_a_file(clone: Path) -> None:
    told = '#!/usr/bin/env bash\necho "terminal=${LAUNCHER_TERMINAL:-none}"\n'
    _write_program(clone / ".venv" / "lib" / "python3.11" / "site-packages" / "pyspark" / "bin" / "spark-submit", told)
    assert "terminal=none" in _run(clone / "spark_jobs_launcher.sh", "one_job", LAUNCHER_TERMINAL="/dev/null").stdout
    person, program = os.openpty()
    name = os.ttyname(program)
    subprocess.run([clone / "spark_jobs_launcher.sh", "one_job"], stdin=subprocess.DEVNULL, stdout=program, check=True)
    os.close(program)
    shown = b""
    with contextlib.suppress(OSError):  # Linux ends the other side of a closed terminal by an error.
        while part := os.read(person, 10_000):
            shown += part
    os.close(person)
    assert shown.decode().splitlines() == ["one_job: starting Spark", f"terminal={name}"]


def test_yarn_needs_the_folder_of_hadoops_settings(clone: Path) -> None:
    refused = _run(clone / "spark_jobs_launcher.sh", "--master", "yarn", "one_job")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "HADOOP_CONF_DIR" in refused.stderr
    done = _run(clone / "spark_jobs_launcher.sh", "--master", "yarn", "one_job", HADOOP_CONF_DIR="/etc/hadoop")
    assert done.stdout.splitlines()[1:3] == ["--master", "yarn"]


def test_spark_options_come_before_the_job(clone: Path) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", "--conf", "a=b c", "--bulk", "one_job", "--bulk")
    bulk = ["--properties-file", str(clone / "conf" / "spark-bulk.conf"), "--load-spark-defaults"]
    assert done.stdout.splitlines()[3:-1] == ["--conf", "a=b c", *bulk, str(clone / "jobs" / "one_job.py"), "--bulk"]


def test_a_packed_environment_goes_to_the_executors_and_the_driver_keeps_its_own(clone: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.tar.gz"
    packed.touch()
    done = _run(clone / "spark_jobs_launcher.sh", "--environment", str(packed), "one_job")
    assert done.stdout.splitlines()[3:9] == [
        *("--archives", f"{packed}#environment"),
        *("--conf", "spark.pyspark.python=./environment/bin/python"),
        *("--conf", f"spark.pyspark.driver.python={clone}/.venv/bin/python"),
    ]
    missing = _run(clone / "spark_jobs_launcher.sh", "--environment", "nowhere.tar.gz", "one_job")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "--environment nowhere.tar.gz: no such file" in missing.stderr


def test_another_sparks_environment_does_not_reach_the_job(clone: Path) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", "one_job", PYTHONPATH="/x", SPARK_CONF_DIR="/y", SPARK_HOME="/z")
    assert "PYTHONPATH= SPARK_CONF_DIR= " in done.stdout


def test_help_of_a_job_comes_from_python_alone(clone: Path) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", "one_job", "--help")
    assert done.stdout == f"python {clone}/jobs/one_job.py --help\n"


@pytest.mark.parametrize("command", ["psql", "db", "show"])
def test_database_commands_go_to_the_database_module(clone: Path, command: str) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", command, "x")
    assert done.stdout == f"python -P -m spark_app.cli.database {command} x\n"


@pytest.mark.parametrize("command", ["status", "explain"])
def test_what_people_ask_goes_to_a_module_of_its_name(clone: Path, command: str) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", command, "x")
    assert done.stdout == f"python -P -m spark_app.cli.{command} x\n"


def test_list_names_each_job_with_its_first_docstring_line(clone: Path) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", "--list")
    assert done.stdout.split(maxsplit=1) == ["one_job", "Does one thing.\n"]


@pytest.mark.parametrize("arguments", [["nope"], ["../jobs/one_job"], ["--nope", "one_job"], ["--master"], []])
def test_an_invalid_command_line_exits_with_2(clone: Path, arguments: list[str]) -> None:
    done = _run(clone / "spark_jobs_launcher.sh", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_without_environment_the_launcher_names_the_command_that_makes_it(clone: Path) -> None:
    shutil.rmtree(clone / ".venv")
    done = _run(clone / "spark_jobs_launcher.sh", "one_job")
    assert done.returncode == 69
    assert "make setup" in done.stderr


SUBMIT = "org.apache.spark.deploy.SparkSubmit"


def _spark_env(clone: Path, *arguments: str, java: str = "17.0.15", **env: str) -> subprocess.CompletedProcess[str]:
    """Source spark-env.sh as Spark does: with its arguments, and with `set -a`."""
    _write_program(clone / "java" / "bin" / "java", JAVA.format(version=java))
    script = 'set -a; . "$0"; set +a; exec env'
    command = ["bash", "-c", script, str(clone / "conf" / "spark-env.sh"), *arguments]
    base = {"PATH": os.environ["PATH"], "JAVA_HOME": str(clone / "java"), "SPARK_HOME": "/spark home"}
    return subprocess.run(command, env={**base, **env}, capture_output=True, text=True, check=False)


def _exported(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_python_is_the_projects_own_and_home_lies_beside_the_code(clone: Path) -> None:
    settings = {"SPARK_APP_HOME": "", "PYSPARK_DRIVER_PYTHON": "jupyter", "PYSPARK_PYTHON": "python2"}
    exported = _exported(_spark_env(clone, SUBMIT, **settings))
    assert exported["PYSPARK_INSTALLED_PYTHON"] == str(clone / ".venv" / "bin" / "python")
    starting = str(clone / "scripts" / "spark_python.sh")
    assert (exported["PYSPARK_PYTHON"], exported["PYSPARK_DRIVER_PYTHON"]) == (starting, starting)
    assert exported["SPARK_APP_HOME"] == str(clone / "var")
    assert not [name for name in exported if name.startswith(("_p", "_c", "_m", "_a", "BASH_FUNC"))]


@pytest.mark.parametrize(
    ("arguments", "env", "lines"),
    [
        ((SUBMIT, "--master", "local[2]", "jobs/one_job.py", "--days", "5"), {}, ["one_job: starting Spark"]),
        ((SUBMIT, "/elsewhere/jobs/one_job.py"), {"LAUNCHER_STARTED": "1"}, []),
        ((SUBMIT, "jobs/another.py"), {}, []),
        ((SUBMIT, "pyspark-shell"), {}, []),
        (("org.apache.spark.deploy.worker.Worker", "jobs/one_job.py"), {}, []),
    ],
)
def test_a_job_of_a_bare_spark_submit_says_that_it_starts(
    clone: Path, arguments: tuple[str, ...], env: dict[str, str], lines: list[str]
) -> None:
    said = _spark_env(clone, *arguments, **env).stdout.splitlines()
    assert [line for line in said if "=" not in line] == lines


def test_executors_of_a_cluster_get_python_itself(clone: Path) -> None:
    exported = _exported(_spark_env(clone, SUBMIT, "--master", "spark://host:7077", "job.py"))
    assert exported["PYSPARK_PYTHON"] == str(clone / ".venv" / "bin" / "python")


def test_python_imports_the_installed_pyspark_and_keeps_other_paths(clone: Path) -> None:
    spark = clone / "spark home"
    paths = [f"{spark}/python/lib/pyspark.zip", "/a job's/own", f"{spark}/jars/spark-core.jar", "/other.zip"]
    command = [str(clone / "scripts" / "spark_python.sh"), "-c", "import sys; print(sys.path[1:3])"]
    environment = {"SPARK_HOME": str(spark), "PYSPARK_INSTALLED_PYTHON": sys.executable, "PYTHONPATH": ":".join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == ["/a job's/own", "/other.zip"]


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ((SUBMIT, "job.py"), "127.0.0.1"),
        ((SUBMIT, "--master", "local[2]", "job.py"), "127.0.0.1"),
        ((SUBMIT, "--conf", "spark.master=local[2]", "pyspark-shell"), "127.0.0.1"),
        ((SUBMIT, "--master", "spark://127.0.0.1:7077", "job.py"), "127.0.0.1"),
        ((SUBMIT, "--master", "spark://localhost:7077", "job.py"), "127.0.0.1"),
        ((SUBMIT, "--master", "spark://host:7077", "job.py"), None),
        (("org.apache.spark.deploy.worker.Worker", "spark://host:7077"), None),
        ((SUBMIT, "--master=yarn", "job.py"), None),
    ],
)
def test_only_what_is_on_this_machine_is_kept_on_loopback(
    clone: Path, arguments: tuple[str, ...], address: str | None
) -> None:
    assert _exported(_spark_env(clone, *arguments)).get("SPARK_LOCAL_IP") == address


def test_daemons_of_a_cluster_get_no_options_of_a_small_run(clone: Path) -> None:
    assert "SPARK_SUBMIT_OPTS" not in _exported(_spark_env(clone, "org.apache.spark.deploy.worker.Worker"))


def test_the_users_own_jvm_options_replace_ours(clone: Path) -> None:
    assert _exported(_spark_env(clone, SUBMIT, SPARK_SUBMIT_OPTS="-Xss4m"))["SPARK_SUBMIT_OPTS"] == "-Xss4m"


def test_the_class_archive_is_used_where_it_exists_with_the_jars_alone_on_the_class_path(
    clone: Path, tmp_path: Path
) -> None:
    archive = clone / ".venv" / "spark-classes.jsa"
    assert "-cp" not in _exported(_spark_env(clone, SUBMIT))["SPARK_SUBMIT_OPTS"]
    archive.touch()
    jars = tmp_path / "spark home" / "jars"
    jars.mkdir(parents=True)
    for name in ("a.jar", "b.jar", "spark-mllib_2.13.jar"):
        (jars / name).touch()
    options = _exported(_spark_env(clone, SUBMIT, SPARK_HOME=str(jars.parent)))["SPARK_SUBMIT_OPTS"]
    assert f'-XX:SharedArchiveFile="{archive}"' in options
    # Without Spark's machine learning, which would register its functions with every session.
    assert f'-cp "{jars}/a.jar:{jars}/b.jar"' in options


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (("--driver-class-path", "/x.jar"), {}),
        (("--conf", "spark.driver.extraClassPath=/x.jar"), {}),
        ((), {"HADOOP_CONF_DIR": "/etc/hadoop"}),
    ],
)
def test_a_class_path_of_the_users_own_is_left_alone(
    clone: Path, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    (clone / ".venv" / "spark-classes.jsa").touch()
    assert "-cp" not in _exported(_spark_env(clone, SUBMIT, *arguments, **env))["SPARK_SUBMIT_OPTS"]


@pytest.mark.parametrize("where", ["JAVA_HOME", "PATH"])
def test_java_starts_without_the_module_that_it_warns_of(clone: Path, tmp_path: Path, where: str) -> None:
    java = tmp_path / "a java" / "bin"
    _write_program(java / "java", JAVA.format(version="21.0.1") + "printf '%s\\n' pid=$$ \"$@\"\n")
    places = {"JAVA_HOME": str(java.parent)} if where == "JAVA_HOME" else {"PATH": f"{java}:{os.environ['PATH']}"}
    # A job that starts another passes on what spark-env.sh set.
    twice = 'for job in first second; do . "$0" "$@"; done; '
    script = twice + 'exec "$JAVA_HOME/bin/java" -a --add-modules=jdk.incubator.vector "b c"'
    done = subprocess.Popen(
        ["bash", "-c", script, str(clone / "conf" / "spark-env.sh"), SUBMIT, "a.py"],
        env={"PATH": os.environ["PATH"], "SPARK_HOME": "/spark home", **places},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    said, _ = done.communicate()
    assert said.splitlines() == [f"pid={done.pid}", "-a", "b c"]


def test_daemons_of_a_cluster_start_the_java_of_the_machine(clone: Path) -> None:
    exported = _exported(_spark_env(clone, "org.apache.spark.deploy.worker.Worker"))
    assert exported["JAVA_HOME"] == str(clone / "java")


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "16"])
def test_a_java_that_is_too_old_exits_with_69_and_the_command_that_installs_another(clone: Path, version: str) -> None:
    done = _spark_env(clone, SUBMIT, java=version)
    assert done.returncode == 69
    assert version in done.stderr
    assert "install" in done.stderr


@pytest.mark.parametrize("version", ["17", "17.0.15", "21-ea", "25.0.1"])
def test_java_17_and_newer_are_accepted(clone: Path, version: str) -> None:
    assert _spark_env(clone, SUBMIT, java=version).returncode == 0


def test_without_java_the_exit_code_is_69(clone: Path) -> None:
    done = _spark_env(clone, SUBMIT, JAVA_HOME="/nonexistent")
    assert done.returncode == 69
    assert "does not run" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--master", "foo"], "invalid master 'foo': expected local[N], spark://HOST:PORT, yarn or k8s://URL"),
        (["--conf", "spark.master=local[x]"], "invalid master 'local[x]': "),
        (["--master=spark://node1"], "invalid master 'spark://node1': "),
        (["--driver-memory", "10m"], "invalid spark.driver.memory '10m': Spark needs at least 471859200 bytes"),
        (["--conf", "spark.driver.memory=abc"], "invalid spark.driver.memory 'abc': "),
    ],
)
def test_a_bare_spark_submit_refuses_what_spark_would_end_with_a_stack_trace(
    clone: Path, arguments: list[str], complaint: str
) -> None:
    done = _source_spark_env(clone, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(complaint)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--master", "local[2,4]"], ["--master", "spark://node1:7077,node2:7077"], ["--driver-memory", "512m"]],
)
def test_a_bare_spark_submit_takes_what_spark_takes(clone: Path, arguments: list[str]) -> None:
    done = _source_spark_env(clone, *arguments, "--conf", "spark.driver.memory=2g", "a.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize(("kind", "exit_code"), [("S", 0), ("H", 69)])
def test_too_few_open_files_are_raised_or_refused(clone: Path, kind: str, exit_code: int) -> None:
    done = _source_spark_env(clone, before=f"ulimit -Sn 256; ulimit -{kind}n 256; ", after="; ulimit -Sn")
    assert (done.returncode, done.stdout) == (exit_code, "" if exit_code else "done\n1024\n")
    said = "too many open files: ulimit -n is 256, and Spark needs 1024: raise it (ulimit -n 1024)\n"
    assert done.stderr == (said if exit_code else "")


@pytest.mark.parametrize(("arguments", "exit_code"), [((SUBMIT,), 69), (("org.apache.spark.deploy.worker.Worker",), 0)])
def test_a_user_without_a_name_is_refused_with_one_sentence(
    clone: Path, tmp_path: Path, arguments: tuple[str, ...], exit_code: int
) -> None:
    # As `id` answers in a container that was started with --user 23456.
    nameless = '[ "$1" = -u ] && echo 23456 && exit; echo "id: cannot find name for user ID 23456" >&2; exit 1\n'
    _write_program(tmp_path / "bin" / "id", f"#!/bin/sh\n{nameless}")
    done = _spark_env(clone, *arguments, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    said = (
        "the user with the id 23456 has no name, and Spark needs one: run as a user of /etc/passwd, or add it there\n"
    )
    assert (done.returncode, done.stderr) == (exit_code, said if exit_code else "")


def _source_spark_env(
    clone: Path, *arguments: str, before: str = "", after: str = ""
) -> subprocess.CompletedProcess[str]:
    """Read spark-env.sh as Spark does."""
    script = before + '. "$0/conf/spark-env.sh"; echo done' + after
    return subprocess.run(
        ["bash", "-c", script, str(clone), "org.apache.spark.deploy.SparkSubmit", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(clone),
            "JAVA_HOME": str(clone / "java"),
            "SPARK_HOME": str(clone),
        },
        capture_output=True,
        text=True,
        check=False,
    )
