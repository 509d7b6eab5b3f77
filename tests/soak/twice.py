"""The same day run twice at once, many times, and jobs beside each other: `make twice`.

Each round starts two jobs at the same moment, as a user does, on one installation; the first round on an empty one.
Of the same job one works and the other ends with 73 and its sentence, or comes after it; of different jobs both work.
After each round every served table must be what jobs that ran one after the other served. Exit code 1 where anything
differs, after the report.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.integration.expected import Rows
from tests.integration.fetch_market import AS_OF
from tests.integration.processes import submitted
from tests.integration.world import World, differences, without_text
from tests.operations.installation import installation, trending_market

DELAY_SECONDS = 0.05
FETCHING = ("--as-of", str(AS_OF), "--refresh", "--delay", str(DELAY_SECONDS))
COMPUTING = ("--as-of", str(AS_OF))
DAY = ("daily_pipeline", *FETCHING)
BACKFILL = ("backfill_etf_benchmarks", *FETCHING, "--days", "30")
STAGGERED = ("staggered_sector_backfill", *FETCHING, "--days", "30", "--delay-minutes", "0")
STAGE_1, STAGE_2 = ("stage1_etf_ohlc", *FETCHING), ("stage2_etf_holdings", *FETCHING)
STAGE_3, STAGE_4 = ("stage3_trending_sectors", *COMPUTING), ("stage4_stock_history", *FETCHING)
REPUBLISH = ("republish", *COMPUTING)
BESIDE = ((DAY, BACKFILL), (STAGE_1, STAGE_2), (BACKFILL, STAGGERED), (STAGE_3, REPUBLISH), (STAGE_4, STAGE_1))
PATIENCE_SECONDS = 600
_REQUESTS = 20

Tables = Mapping[str, Rows]


def tables_of(world: World) -> Tables:
    """What is served, without what no rule fixes."""
    return {name: without_text(rows) for name, rows in world.tables().items()}


def one_after_the_other(folder: Path) -> Tables:
    """What the day and a backfill serve when each waits for the other."""
    with installation(folder, trending_market()) as world:
        for job, *arguments in (DAY, BACKFILL):
            with submitted(world, job, *arguments) as process:
                assert process.wait(PATIENCE_SECONDS) == 0, process.said
        return tables_of(world)


def run_round(world: World, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[tuple[int, int], list[str]]:
    """Run two jobs at once; returns their exit codes, in order, and what was not as promised."""
    with submitted(world, *first) as one, submitted(world, *second) as other:
        ended = [(process.wait(PATIENCE_SECONDS), process.said) for process in (one, other)]
    codes = tuple(sorted(code for code, _ in ended))
    allowed = {(0, 0), (0, 73)} if first == second else {(0, 0)}
    wrong = [] if codes in allowed else [f"exit codes {codes}: {' | '.join(said for _, said in ended)}"]
    wrong += [
        f"73 without its sentence: {s}"
        for c, s in ended
        if c == 73 and "is already running: wait for it to end" not in s
    ]
    return (codes[0], codes[1]), wrong


def judge(world: World, right: Tables, *, is_first: bool) -> list[str]:
    """List what is not as it should be after a round; the first one need not have served everything."""
    tables = tables_of(world)
    wrong = [f"{name} {found}" for name in right for found in differences(tables[name], right[name])]
    if is_first:
        wrong = [found for found in wrong if not found.endswith("not served")]
    wrong += too_fast(sorted(request.arrived for request in world.emulator.log))
    world.emulator.log.clear()
    (deadlocks,) = world.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0]
    return wrong + ([f"{deadlocks} deadlocks"] if deadlocks else [])


def too_fast(arrivals: list[float]) -> list[str]:
    """Say where requests came faster than the delay allows.

    Over some of them at a time: a busy machine notes single ones late.
    """
    spans = [later - earlier for earlier, later in zip(arrivals, arrivals[_REQUESTS:], strict=False)]
    quickest = min(spans, default=float("inf"))
    if quickest >= 0.8 * _REQUESTS * DELAY_SECONDS:
        return []
    return [f"{_REQUESTS} requests in {quickest:.2f} s, the delay is {DELAY_SECONDS} s"]


def main() -> int:
    """Run the rounds and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=100, help="so often the day is run twice at once (default: 100)")
    parser.add_argument("--beside", type=int, default=20, help="so many rounds of different jobs (default: 20)")
    arguments = parser.parse_args()
    pairs = list(itertools.islice(itertools.cycle(BESIDE), arguments.beside)) + [(DAY, DAY)] * arguments.rounds
    ends: Counter[tuple[str, str, int, int]] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="spark_app-twice-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        right = one_after_the_other(folder)
        with installation(folder, trending_market()) as world:
            for number, (first, second) in enumerate(pairs, start=1):
                codes, odd = run_round(world, first, second)
                odd += judge(world, right, is_first=number == 1)
                ends[(first[0], second[0], *codes)] += 1
                wrong += [f"round {number}, {first[0]} and {second[0]}: {found}" for found in odd]
                print(f"round {number}/{len(pairs)} {first[0]} {second[0]} {codes} {'; '.join(odd)[:2000]}", flush=True)
    for (one, other, first_code, second_code), count in sorted(ends.items()):
        print(f"{count:4d} x {one} and {other}: exit codes {first_code} and {second_code}")
    print(f"{len(wrong)} findings in {len(pairs)} rounds")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
