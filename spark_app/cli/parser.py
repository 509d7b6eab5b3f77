"""The parser of a job, made from its declaration; imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn

from spark_app import __version__
from spark_app.cli.jobs import JOBS, Job
from spark_app.cli.options import CONFIG, Option
from spark_app.config.installation import LAUNCHER


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage lines."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def parse(job: Job, words: Sequence[str]) -> dict[str, object]:
    """Read the arguments of a job: what each option of any job sets -> its value, None where it was not given."""
    is_help = any(word in ("-h", "--help") for word in words)
    not_given = {option.sets: None for other in JOBS.values() for option in other.all_options}
    return not_given | vars(build_parser(job, _defaults_in_force(job, words) if is_help else {}).parse_args(words))


def build_parser(job: Job, defaults: Mapping[str, object]) -> argparse.ArgumentParser:
    """Build the parser of a job.

    Args:
        defaults: setting -> its value in force, for `--help`.
    """
    # Shortened options would be hard to take over into a command that resumes.
    parser = Parser(
        prog=job.name,
        description=job.description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(["examples:", *(f"  {LAUNCHER} {job.name} {given}".rstrip() for given in job.examples)])
        if job.examples
        else None,
    )
    groups: dict[str, argparse._ActionsContainer] = {}
    for option in job.all_options:
        place: argparse._ActionsContainer = parser
        if option.excludes:
            if option.excludes not in groups:
                groups[option.excludes] = parser.add_mutually_exclusive_group()
            place = groups[option.excludes]
        _add(place, option, defaults)
    parser.add_argument("--version", action="version", version=f"spark_app {__version__}")
    return parser


def _add(place: argparse._ActionsContainer, option: Option, defaults: Mapping[str, object]) -> None:
    if option.read is None:
        place.add_argument(option.flag, dest=option.sets, action="store_true", help=option.help)
        return
    default = defaults.get(option.sets, option.default)
    place.add_argument(
        option.flag,
        dest=option.sets,
        type=option.read,
        default=option.default,
        metavar=option.metavar,
        choices=option.choices,
        # argparse formats a help text with %.
        help=option.help + _stated(default).replace("%", "%%"),
    )


def _stated(default: object) -> str:
    if default in (None, "", ()):
        return ""
    return f" (default: {default:g})" if isinstance(default, float) else f" (default: {default})"


def _defaults_in_force(job: Job, words: Sequence[str]) -> dict[str, object]:
    """Read the settings that options of the job set; none where the settings cannot be read, which a run would say."""
    names = [option.sets.split(".") for option in job.all_options if option.is_setting]
    if not names:
        return {}
    from spark_app.config.settings import load_sections
    from spark_app.errors import SettingsError

    config = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    config.add_argument(CONFIG.flag, nargs="?")
    file = config.parse_known_args(words)[0].config
    try:
        sections = load_sections({section for section, _ in names}, config_file=file)
    except SettingsError:
        return {}
    return {f"{section}.{key}": getattr(sections[section], key) for section, key in names}
