"""The report of a campaign: kills by job and phase, how many hit, and what differed."""

from __future__ import annotations

from collections.abc import Sequence

from spark_app.text_table import draw_table
from tests.soak.campaign import JOBS, Finding


def draw_report(findings: Sequence[Finding]) -> str:
    """Draw a table with a line for each job and phase, and a sentence that sums it up."""
    groups: dict[tuple[int, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((JOBS.index(finding.case.run.job), finding.case.moment.kind), []).append(finding)
    header = ("job", "phase", "kills", "hit", "missed", "differ")
    rows = [(JOBS[place], phase, *_numbers(found)) for (place, phase), found in sorted(groups.items())]
    total = _numbers(findings)
    kills, hit, missed, differ = total
    summary = f"{kills} kills: {hit} runs were in the phase, {missed} were not; {differ} differ from an undisturbed run"
    return f"{draw_table(header, [*rows, ('', 'all', *total)], right=(2, 3, 4, 5))}\n{summary}"


def _numbers(findings: Sequence[Finding]) -> tuple[str, str, str, str]:
    hit = sum(finding.was_hit for finding in findings)
    differing = sum(bool(finding.problems) for finding in findings)
    return str(sum(f.kills for f in findings)), str(hit), str(len(findings) - hit), str(differing)
