"""Measure the pipeline: `python benchmarks/run.py [startup] [publishing] [transforms]`, all by default."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import market, publishing, startup, transforms
from benchmarks.report import draw
from spark_app.session import build_session

_ALL = ("startup", "publishing", "transforms")


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks and print one table; exit code 1 where a promise was missed."""
    unknown = set(chosen) - set(_ALL)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(_ALL)}", file=sys.stderr)
        return 2
    chosen = chosen or list(_ALL)
    measurements = []
    if "startup" in chosen:
        measurements += startup.measure()
    if {"publishing", "transforms"} & set(chosen):
        rows = market.bars()
        spark = build_session(
            "benchmarks", master="local[2]", extra={"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2"}
        )
        spark.sparkContext.setLogLevel("OFF")
        if "publishing" in chosen:
            measurements += publishing.measure(spark, rows)
        if "transforms" in chosen:
            measurements += transforms.measure(spark, rows)
        spark.stop()
    print(draw(measurements))
    return 0 if all(m.is_kept for m in measurements) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
