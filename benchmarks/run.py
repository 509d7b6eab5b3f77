"""Measure the pipeline: `python benchmarks/run.py NAME...`, or all of them.

The names: startup, throttle, fetching, publishing, market (publishing 12.6 million rows: ten minutes), transforms,
backtest.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import backtest, fetching, market, publishing, startup, throttle, transforms  # noqa: E402
from benchmarks.bulk_session import build_bulk_session  # noqa: E402
from benchmarks.report import draw  # noqa: E402

_ALL = ("startup", "throttle", "fetching", "publishing", "market", "transforms", "backtest")


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks and print one table; exit code 1 where a limit is exceeded."""
    unknown = set(chosen) - set(_ALL)
    if unknown:
        print(f"unknown benchmark {', '.join(sorted(unknown))}: choose from {', '.join(_ALL)}", file=sys.stderr)
        return 2
    chosen = chosen or list(_ALL)
    measurements = []
    if "startup" in chosen:
        measurements += startup.measure()
    if "throttle" in chosen:
        measurements += throttle.measure()
    if "fetching" in chosen:
        measurements += fetching.measure()
    if "publishing" in chosen:
        spark = build_bulk_session()
        measurements += publishing.measure(spark, market.bars())
        spark.stop()
    if "market" in chosen:
        spark = build_bulk_session()
        measurements += publishing.measure_market(spark)
        spark.stop()
    if "transforms" in chosen:
        measurements += transforms.measure()
    if "backtest" in chosen:
        measurements += backtest.measure()
    print(draw(measurements))
    return 0 if all(m.is_kept for m in measurements) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
