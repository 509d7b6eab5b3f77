"""Kill jobs with SIGKILL in every phase, run them again, and compare with undisturbed runs.

Exit code 0: nothing differs; 1: something does, and the rows are listed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from spark_app import market_calendar
from tests.emulator import YahooEmulator
from tests.soak.campaign import JOBS, Finding, Undisturbed, carry_out, plan, record
from tests.soak.installation import Installation
from tests.soak.market import walking_market
from tests.soak.report import draw_report

_SHOWN = 20


def main() -> int:
    """Run a campaign; returns the exit code."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="spark_app-soak-", dir=options.folder))
    folder.chmod(0o755)
    with YahooEmulator(walking_market(options.seed, max(options.dates))) as emulator:
        print(f"soak: seed {options.seed}, {options.kills} kills, sessions {', '.join(map(str, options.dates))}")
        runs = [run for day in options.dates for run in _undisturbed(folder, emulator, day, options.jobs)]
        findings = _campaign(folder, runs, options)
    print(report := draw_report(findings))
    if options.report:
        options.report.write_text(f"seed {options.seed}\n{report}\n")
    differing = [finding for finding in findings if finding.problems]
    if differing:
        print(f"the installations that differ are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _undisturbed(folder: Path, emulator: YahooEmulator, day: dt.date, jobs: list[str]) -> list[Undisturbed]:
    """Run every job once without a kill: each stage after those before it, the others in an empty installation."""
    empty = Installation(folder / f"{day}-empty", emulator)
    empty.prepare()
    runs, before = [], empty
    for job in JOBS:
        is_stage = job.startswith("stage")
        if job not in jobs and not (is_stage and any(later.startswith("stage") and later > job for later in jobs)):
            continue
        run, after = record(job, day, before if is_stage else empty, folder / f"{day}-{job}")
        before = after if is_stage else before
        runs += [run] if job in jobs else []
        print(f"undisturbed: {job} {day}, {run.seconds:.0f} s, {run.requests} requests, {run.rows} rows", flush=True)
    return runs


def _campaign(folder: Path, runs: list[Undisturbed], options: argparse.Namespace) -> list[Finding]:
    """Carry out the planned cases; Ctrl+C ends it with those that are done."""
    cases = plan(runs, options.kills, options.seed)
    findings: list[Finding] = []
    began, last = time.monotonic(), _last_session()
    with contextlib.suppress(KeyboardInterrupt):
        for case in cases:
            if _last_session() != last:
                print("a session of the exchange has closed, and runs ask for more than before: the campaign ends here")
                break
            findings.append(carry_out(case, folder / f"case-{case.number}"))
            left = (time.monotonic() - began) / len(findings) * (len(cases) - len(findings))
            print(f"{case.number}/{len(cases)} {_verdict(findings[-1])}; ETA {left / 60:.0f} min", flush=True)
    return findings


def _verdict(finding: Finding) -> str:
    problems = finding.problems
    came = [f"{len(problems)} DIFFER" if problems else "same", f"{finding.seconds:.0f} s"]
    lines = [f"{finding.case}: {'hit' if finding.was_hit else 'missed'}, {', '.join(came)}"]
    return "\n    ".join([*lines, *problems[:_SHOWN]])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    option = parser.add_argument
    option("--seed", type=int, default=secrets.randbelow(10**6), help="of the market and of the kills (default: any)")
    option("--kills", type=int, default=50, help="how many (default: 50, an hour's work)")
    option("--jobs", type=lambda text: text.split(","), default=list(JOBS), help=f"of {', '.join(JOBS)}")
    option("--dates", type=lambda text: [dt.date.fromisoformat(day) for day in text.split(",")], help="as-of sessions")
    option("--folder", type=Path, help="where installations are made (default: the system's temporary folder)")
    option("--report", type=Path, help="write the report to this file, too")
    options = parser.parse_args()
    if unknown := sorted(set(options.jobs) - set(JOBS)):
        parser.error(f"there is no job {', '.join(unknown)}")
    options.dates = options.dates or [_last_session()]
    return options


def _last_session() -> dt.date:
    return market_calendar.last_completed_session(dt.datetime.now(dt.UTC))


if __name__ == "__main__":
    sys.exit(main())
