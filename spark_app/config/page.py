"""docs/CONFIGURATION.md and conf/pipeline.toml, made from the settings: their descriptions, ranges and defaults.

`make docs` writes both.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spark_app.config.settings import Settings, variable_of

_PAGE_HEAD = """# Settings

Made by `make docs` from `spark_app/config/settings.py` and `spark_app/config/kafka.py`; change those.

Each setting is in `conf/pipeline.toml` (or the file of `--config`) and can be set in the environment. The command line
beats the environment, the environment beats the file. An empty variable counts as unset. An unknown setting or
variable, or a value out of range, ends a run with exit code 2 and a message that names it.
"""

_VARIABLES = """
## Environment only

| variable | what it does |
|---|---|
| `SPARK_APP_HOME` | folder of everything that the pipeline stores; default `var`, of the installed package `~/.local/share/spark_app` |
| `DATABASE_URL` | `postgresql://user:password@host:port/database`; unset = the embedded PostgreSQL |
| `DATABASE_PASSWORD_FILE` | file with the password of `DATABASE_URL`; `PGPASSFILE` works as well |
| `DATABASE_ADMIN_URL` | the same database as another user, for migrations, `db roles`, `db dump`, `db restore` and retention |
| `KAFKA_PASSWORD`, `KAFKA_PASSWORD_FILE` | password of `kafka.sasl_username`, or a file with it |
| `SPARK_MASTER` | where Spark runs, as the launcher's `--master`; default `local[2,4]` |
| `JAVA_HOME` | the Java that runs Spark; default: the one on `PATH` |
| `SPARK_SUBMIT_OPTS` | options of the driver's JVM, instead of those of `conf/quick-start.sh` |
| `HTTPS_PROXY`, `NO_PROXY` | a company's proxy, for Yahoo and the issuer: `http://user:password@host:port`, special characters percent-encoded |
| `CURL_CA_BUNDLE`, `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE` | certificates of such a proxy |
| `SPARK_ADDED_JARS` | installed with pip: folder of the jars that set-up fetches; default `SPARK_APP_HOME/spark` |
| `LAUNCHER_STDERR` | set by the launcher: where a job writes errors, because spark-submit joins stderr to stdout |
| `LAUNCHER_TERMINAL` | set by the launcher: the terminal on which a job draws its progress |
| `MAVEN_REPOSITORY_URL` | repository of the jars; default: the one that Spark itself uses |
| `XDG_DATA_HOME` | instead of `~/.local/share` |

Spark's own settings are in `conf/spark-defaults.conf`, for years of data in `conf/spark-bulk.conf`; the launcher's
`--conf KEY=VALUE` sets one for a run.
"""  # noqa: E501

_FILE_HEAD = """# Settings of the pipeline. The command line beats the environment, the environment beats this file.
# Every key can be set in the environment as SPARK_APP_SECTION__KEY, for example SPARK_APP_FETCH__DELAY_SECONDS=2.
# Secrets are never in this file: the database is named by DATABASE_URL, its password may come from PGPASSFILE or
# DATABASE_PASSWORD_FILE. Ranges: docs/CONFIGURATION.md. `make docs` makes both files from the code.
"""
_FILE_WIDTH = 120


def settings_page(options: Mapping[str, str]) -> str:
    """Return docs/CONFIGURATION.md.

    Args: options: the command-line option of a setting, for those that have one: {"fetch.delay_seconds": "--delay"}.
    """
    unknown = set(options) - {f"{section}.{key}" for section, model in _sections() for key in model.model_fields}
    if unknown:
        raise ValueError(f"options of settings that do not exist: {', '.join(sorted(unknown))}")
    text = _PAGE_HEAD
    for section, model in _sections():
        rows = [_page_row(section, key, model, options.get(f"{section}.{key}")) for key in model.model_fields]
        text += f"\n## {section}\n\n{_description(model)}\n\n"
        text += "| setting | kind | default | what it does | set by |\n|---|---|---|---|---|\n"
        text += "".join(f"{row}\n" for row in rows)
    return text + _VARIABLES


def settings_file() -> str:
    """Return conf/pipeline.toml with every setting at its default."""
    text = _FILE_HEAD
    for section, model in _sections():
        text += f"\n{_comment(_description(model))}[{section}]\n"
        for key, field in model.model_fields.items():
            text += _comment(str(field.description)) + _assignment(key, field) + "\n"
    return text


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for section, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)  # noqa: S101
        yield section, field.annotation


def _description(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _page_row(section: str, key: str, model: type[BaseModel], option: str | None) -> str:
    field = model.model_fields[key]
    default = "none" if field.default is None else f"`{_toml(field.default)}`"
    variable = f"`{variable_of(section, key)}`" + (f"; `{option}`" if option else "")
    kind = _kind(model.model_json_schema()["properties"][key])
    cells = (f"`{key}`", kind, default, str(field.description), variable)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(schema: Mapping[str, Any]) -> str:
    """Say what a value may be: its type and its range."""
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    choices = schema.get("anyOf", [schema])
    if choices[0]["type"] == "array":
        items = choices[0]["items"]
        if "$ref" in items:
            return "list of tables"
        return "list of dates" if items.get("format") == "date" else "list of whole numbers"
    if choices[0]["type"] == "object":
        return "table of dates"
    number = next((choice for choice in choices if choice["type"] in ("integer", "number")), None)
    if number is None:
        return "text"
    name = "whole number" if number["type"] == "integer" else "number"
    words = "".join(f' or "{choice["const"]}"' for choice in choices if "const" in choice)
    return f"{name}{_range(number)}{words}"


def _range(number: Mapping[str, Any]) -> str:
    limits = {name: f"{value:.10g}" for name, value in number.items() if isinstance(value, int | float)}
    least, above, most = (limits.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if least is not None:
        return f", {least} or more" if most is None else f", {least} to {most}"
    return f", above {above}" + ("" if most is None else f", at most {most}")


def _assignment(key: str, field: FieldInfo) -> str:
    if field.default is None:
        return f"# {key} = {_toml((field.examples or [None])[0])}"
    return f"{key} = {_toml(field.default)}"


def _toml(value: object) -> str:
    # TOML writes texts and numbers as JSON does.
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> str:
    return textwrap.fill(text, _FILE_WIDTH, initial_indent="# ", subsequent_indent="# ") + "\n"
