"""What a job did, for `--json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_app.pipeline.result import StageReport


@dataclass
class Summary:
    """The reports of the stages that a job ran, other findings by name, and the error that the job ended with."""

    reports: list[StageReport] = field(default_factory=list)
    error: str | None = None
    findings: dict[str, list[dict[str, object]]] = field(default_factory=dict)
