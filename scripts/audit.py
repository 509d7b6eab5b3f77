"""List known vulnerabilities of the locked Python packages with pip-audit; fail where one cannot be audited.

`audit.py [options of pip-audit]`, for example `audit.py -s osv` for another database of vulnerabilities. Exit code:
0 = none known, 1 = some, 69 = at least one package could not be audited. Jars are not audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = (("uv", "runtime", "dev"), ("airflow",), ("moto",))
"""The lists in requirements, by environment: two environments may have different versions of a package."""
NOT_COVERED = (
    "Python packages only: Spark's own jars inside pyspark and those of conf/*.lock are not covered. "
    "`make sbom` lists the latter for a scanner that reads CycloneDX."
)


def audit(options: Sequence[str]) -> list[dict[str, Any]]:
    """Return pip-audit's result for each locked version of a package, once."""
    results = [package for names in ENVIRONMENTS for package in ask_pip_audit(names, options)]
    return list({json.dumps(package, sort_keys=True): package for package in results}.values())


def ask_pip_audit(names: Sequence[str], options: Sequence[str]) -> list[dict[str, Any]]:
    """Return pip-audit's result for each package of one environment; exits with 69 where pip-audit fails."""
    locks = [part for name in names for part in ("-r", str(ROOT / "requirements" / f"{name}.txt"))]
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner=off", "--format=json", *locks]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        # Without access to its database pip-audit ends with a traceback.
        print(f"could not be audited: {(done.stderr.strip().splitlines() or ['pip-audit printed nothing'])[-1]}")
        sys.exit(69)
    return packages


def report(packages: Sequence[Mapping[str, Any]]) -> int:
    """Print the findings; returns the exit code."""
    skipped = [package["skip_reason"] for package in packages if "skip_reason" in package]
    found = [(package, hit) for package in packages for hit in package.get("vulns", ())]
    for package, hit in found:
        fixed = ", ".join(hit["fix_versions"]) or "no version yet"
        names = " ".join([hit["id"], *hit.get("aliases", ())])
        print(f"{package['name']} {package['version']}: {names}; fixed in {fixed}")
    for reason in skipped:
        print(f"not audited: {reason}")
    audited = len(packages) - len(skipped)
    print(f"{len(found)} known vulnerabilities in {audited} packages, {len(skipped)} could not be audited")
    print(NOT_COVERED)
    return 1 if found else 69 if skipped or not audited else 0


if __name__ == "__main__":
    sys.exit(report(audit(sys.argv[1:])))
