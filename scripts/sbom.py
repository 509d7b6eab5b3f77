"""Write a software bill of materials (CycloneDX): the Python packages and the jars that a run uses, with checksums.

`sbom.py [FILE]`, by default dist/sbom.json. Spark's own jars are part of the package pyspark.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from fetch_jars import ROOT, read_lock
from packageurl import PackageURL


def describe(kind: str, group: str | None, name: str, version: str, sha256: list[str]) -> Component:
    """Describe one component; a Python package has a checksum for each of its files."""
    url = PackageURL(kind, group, name, version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in sha256]
    return Component(
        name=name, group=group, version=version, purl=url, bom_ref=str(url), hashes=hashes, type=ComponentType.LIBRARY
    )


def python_packages() -> list[Component]:
    """List the packages of requirements/runtime.txt."""
    text = (ROOT / "requirements" / "runtime.txt").read_text().replace("\\\n", " ")
    locked = re.findall(r"^([\w.-]+)==(\S+)(.*)$", text, flags=re.MULTILINE)
    return [describe("pypi", None, name, version, re.findall(r"sha256:(\w+)", rest)) for name, version, rest in locked]


def jars() -> list[Component]:
    """List the jars of the locks in conf: for every run, for Kafka and for staging on S3."""
    locked = [jar for lock in sorted((ROOT / "conf").glob("*.lock")) for jar in read_lock(lock)]
    return [describe("maven", jar.group, jar.artifact, jar.version, [jar.sha256]) for jar in locked]


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "sbom.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    JsonV1Dot6(Bom(components=[*python_packages(), *jars()])).output_to_file(str(file), allow_overwrite=True, indent=2)
