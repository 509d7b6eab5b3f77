"""docs/ERRORS.md has a row for every message that the code can end with, under its exit code, and no other row."""

from __future__ import annotations

import ast
import builtins
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import spark_app
from spark_app.errors import SparkAppError

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "ERRORS.md"
OF_ONE_TICKER = "Of one ticker"
"""The section of failures that end no run."""

ANY = "?"
"""The section of a message whose exit code only the run knows: a row in any section will do."""


@dataclass(frozen=True, order=True)
class Message:
    """A message with … for what differs each time, and the section it belongs to: its exit code."""

    section: str
    text: str
    place: str

    def is_in(self, rows: set[tuple[str, str]]) -> bool:
        """Say whether the page's rows, of section and text, have it."""
        return (self.section, self.text) in rows or (self.section == ANY and self.text in {text for _, text in rows})

    @property
    def hint(self) -> str:
        """What to add to the page."""
        section = "the section of its exit code" if self.section == ANY else f"section '## {self.section}'"
        text = self.text.replace("|", "\\|")
        return f"{section} ({self.place}):\n| {text} | why it comes | what to do |"


def test_the_page_has_every_message_and_no_other() -> None:
    messages, rows = sorted({*python_messages(), *shell_messages()}), page_rows()
    missing = [message.hint for message in messages if not message.is_in(rows)]
    left_over = sorted(row for row in rows if not any(message.is_in({row}) for message in messages))
    assert not missing, "add to docs/ERRORS.md, in\n" + "\n".join(missing)
    assert not left_over, "remove from docs/ERRORS.md, for nothing says it any more:\n" + "\n".join(map(str, left_over))


def test_every_row_says_why_and_what_to_do() -> None:
    rows = [cells(line) for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert [row for row in rows if len(row) != 3 or not all(row)] == []


def page_rows() -> set[tuple[str, str]]:
    """Section and message of each row; the first word of a numbered heading is the exit code."""
    section, rows = "", set()
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
            section = section.split()[0] if section[0].isdigit() else section
        elif line.startswith("| ") and cells(line)[0] not in ("message", "---"):
            rows.add((section, cells(line)[0]))
    return rows


def cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def python_messages() -> Iterator[Message]:
    """What is raised, built or printed as a failure of ours, read from the source: strings among the arguments."""
    sections = exit_codes()
    for file in [*sorted((ROOT / "spark_app").rglob("*.py")), ROOT / "scripts" / "fetch_jars.py"]:
        module = ast.parse(file.read_text())
        for call, section in failures(module, sections):
            for part in [*call.args, *(keyword.value for keyword in call.keywords)]:
                for text in texts(part, module):
                    yield Message(section, text, f"{file.relative_to(ROOT)}:{call.lineno}")


def exit_codes() -> dict[str, str]:
    """Class -> section, of every error class of ours and of what else ends a run with a message."""
    for module in pkgutil.walk_packages(spark_app.__path__, "spark_app."):
        importlib.import_module(module.name)
    found, kinds = {"ArgumentTypeError": "2", "error": ANY}, [SparkAppError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found[kind.__name__] = OF_ONE_TICKER if kind.__name__ == "FetchError" else str(kind.exit_code)
    return found


def failures(module: ast.Module, sections: dict[str, str]) -> Iterator[tuple[ast.Call, str]]:
    raised = {node.exc for node in ast.walk(module) if isinstance(node, ast.Raise)}
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name == "sys.exit":
                yield node, "1"
            elif (known := name.rsplit(".", 1)[-1]) in sections:
                yield node, sections[known]
            elif node in raised and not hasattr(builtins, name):
                yield node, ANY


def texts(node: ast.expr, module: ast.Module) -> Iterator[str]:
    """The message that an argument is; of a name what is assigned to it, of a call what the function puts together."""
    match node:
        case ast.Subscript(value=whole):
            yield from texts(whole, module)
        case ast.Constant(value=str(text)):
            yield from words(text)
        case ast.JoinedStr(values=parts):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
            yield from words(text)
        case ast.Name(id=name):
            for known in ast.walk(module):
                if isinstance(known, ast.Assign) and ast.unparse(known.targets[0]) == name:
                    yield from texts(known.value, module)
        case ast.Call(func=ast.Name(id=name)):
            for known in module.body:
                if isinstance(known, ast.FunctionDef) and known.name == name:
                    for call in ast.walk(known):
                        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".append"):
                            yield from texts(call.args[0], module)


def words(text: str) -> Iterator[str]:
    """Skip what has no word."""
    if re.search(r"\w{3}", text):
        yield re.sub("…+", "…", " ".join(text.split()))


def shell_messages() -> Iterator[Message]:
    """What the scripts say before they end; without a code of its own, `fail` ends with 69."""
    for name in (
        "scripts/setup.sh",
        "scripts/require_java.sh",
        "scripts/cron_job.sh",
        "conf/spark-env.sh",
        "spark_jobs_launcher.sh",
    ):
        text = (ROOT / name).read_text()
        for code, sentence in re.findall(r'(?:\b_?fail(?: (\d+))?|\becho(?=.*>&2)) "((?:[^"\\]|\\.)*)"', text):
            if "$*" not in sentence:
                plain = re.sub(r"\$\([^)]*\)|\$\{[^}]*\}|\$\w+", "…", sentence).replace("\\", "")
                yield Message(code or "69", plain, name)


def test_what_the_troubleshooting_page_shows_is_what_the_program_says() -> None:
    rows = [re.escape(text).replace("…", ".+") for _, text in page_rows()]
    blocks = re.findall(r"(?:^    .+\n)+", (ROOT / "docs" / "TROUBLESHOOTING.md").read_text(), re.MULTILINE)
    shown = [line for block in blocks for line in block.splitlines() if re.match(r" +(?!\.|SPARK_)\S+.*: ", line)]
    assert len(shown) >= 8
    assert [line for line in shown if not any(re.search(rf"(^|: | +){row}$", line) for row in rows)] == []
