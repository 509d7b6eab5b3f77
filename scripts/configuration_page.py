"""Write docs/CONFIGURATION.md: kinds, ranges and command line from the code, meanings and defaults from pipeline.toml.

So conf/pipeline.toml is the one place that says what a setting does: in the comment behind it, or in the lines above.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from spark_app.cli.jobs import JOBS
from spark_app.config.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "CONFIGURATION.md"
FILE = ROOT / "conf" / "pipeline.toml"

HEAD = """# Settings

Made by `make docs` from `spark_app/config/settings.py` and `conf/pipeline.toml`; change those.

Each setting stands in `conf/pipeline.toml` (or the file of `--config`) and can be set in the environment. The command
line beats the environment, the environment beats the file. An empty variable counts as unset. A misspelt setting or
variable, or a value out of range, ends a run with exit code 2 and a sentence that names it.
"""

VARIABLES = """
## Of the environment only

| variable | what it does |
|---|---|
| `SPARK_APP_HOME` | the folder for all that is kept; default `var`, of the package `~/.local/share/spark_app` |
| `DATABASE_URL` | `postgresql://user:password@host:port/database`; without it PostgreSQL is embedded |
| `DATABASE_PASSWORD_FILE` | file with the password of `DATABASE_URL`; `PGPASSFILE` works as well |
| `DATABASE_ADMIN_URL` | the same database as another user, for migrations, `db roles`, `db restore` and retention |
| `KAFKA_PASSWORD`, `KAFKA_PASSWORD_FILE` | the password of `kafka.sasl_username`, or a file with it |
| `SPARK_MASTER` | where Spark runs, as the launcher's `--master`; default `local[2,4]` |
| `JAVA_HOME` | the Java to run Spark with; default: the one on `PATH` |
| `SPARK_SUBMIT_OPTS` | options of the driver's JVM, instead of those of `conf/spark-env.sh` |
| `HTTPS_PROXY`, `NO_PROXY` | a company's proxy, for Yahoo and the issuer |
| `CURL_CA_BUNDLE`, `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE` | the certificates that such a proxy shows |
| `XDG_DATA_HOME` | instead of `~/.local/share` |

Spark's own settings stand in `conf/spark-defaults.conf`, for years of data in `conf/spark-bulk.conf`; the launcher's
`--conf KEY=VALUE` changes one.
"""


@dataclass(frozen=True)
class Entry:
    """A setting as the file has it: its value as written, None where it is commented out, and the comment."""

    value: str | None
    meaning: str


def read_entries(text: str) -> dict[str, Entry]:
    """Read section.key -> entry; a comment behind a value, or in the lines above, is its meaning."""
    entries, section, above = {}, "", ""
    for line in text.splitlines():
        if header := re.match(r"\[(\w+)\]", line):
            section, above = header[1], ""
        elif setting := re.match(r'(# )?(\w+) = ("[^"]*"|[^\s#]+)\s*(?:# (.*))?$', line):
            meaning = " ".join(part for part in (above, setting[4]) if part)
            entries[f"{section}.{setting[2]}"] = Entry(None if setting[1] else setting[3], meaning)
            above = ""
        else:
            above = f"{above} {line[2:]}".strip() if line.startswith("# ") else ""
    return entries


def parts(annotation: Any, metadata: list[Any]) -> Iterator[Any]:
    """What an annotation is made of: plain types, and limits such as `Ge(0)`."""
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else [item]
    if get_origin(annotation) is Annotated:
        plain, *more = get_args(annotation)
        yield from parts(plain, more)
    elif get_origin(annotation) is Literal or not get_args(annotation):
        yield annotation
    else:
        for choice in get_args(annotation):
            yield from parts(choice, [])


def kind(key: str, field: FieldInfo) -> str:
    """Kind, unit and range in words."""
    found = list(parts(field.annotation, field.metadata))
    literal = next((part for part in found if get_origin(part) is Literal), None)
    if literal:
        return " or ".join(str(value) for value in get_args(literal))
    if str in found:
        return "text"
    name = "whole number" if int in found else "number"
    unit = next((f" of {unit}" for unit in ("seconds", "hours", "days") if key.endswith(f"_{unit}")), "")
    before: list[Any] = [part.func for part in found if isinstance(part, BeforeValidator)]
    for_ever = any(function("keep") is None for function in before)
    return f"{name}{unit}{limits(found)}" + (' or "keep"' if for_ever else "")


def limits(found: list[Any]) -> str:
    """The range, or nothing."""
    limit = {name: getattr(part, name) for part in found for name in ("ge", "gt", "le") if hasattr(part, name)}
    low = f"{limit['ge']} or more" if "ge" in limit else f"above {limit['gt']}" if "gt" in limit else ""
    if "le" in limit:
        low = f"{limit['ge']} to {limit['le']}" if "ge" in limit else f"{low}, at most {limit['le']}"
    places = next((part.decimal_places for part in found if getattr(part, "decimal_places", None)), None)
    return "".join((f", {low}" if low else "", f", {places} decimals" if places and Decimal in found else ""))


def options() -> dict[str, str]:
    """Say which option of a job sets a setting."""
    return {option.sets: option.flag for job in JOBS.values() for option in job.all_options if option.is_setting}


def row(name: str, field: FieldInfo, entry: Entry | None) -> str:
    """A line of the page; stops everything where the file says nothing of the setting."""
    if entry is None or not entry.meaning:
        sys.exit(f"conf/pipeline.toml does not say what {name} does: write it behind the setting, as a comment")
    section, key = name.split(".")
    default = f"`{entry.value}`" if entry.value else "none"
    option = f"; `{options()[name]}`" if name in options() else ""
    cells = (f"`{key}`", kind(key, field), default, entry.meaning, f"`SPARK_APP_{section}__{key}`".upper() + option)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page() -> str:
    """The whole page."""
    entries = read_entries(FILE.read_text())
    text = HEAD
    for section, of_section in Settings.model_fields.items():
        model = of_section.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)  # noqa: S101
        text += f"\n## {section}\n\n{' '.join((model.__doc__ or '').split())}\n\n"
        text += "| setting | kind | default | what it does | set by |\n|---|---|---|---|---|\n"
        rows = (
            row(f"{section}.{key}", field, entries.get(f"{section}.{key}")) for key, field in model.model_fields.items()
        )
        text += "\n".join(rows) + "\n"
    return text + VARIABLES


if __name__ == "__main__":
    PAGE.write_text(page())
