"""The stages by name, as tests ask for them."""

from __future__ import annotations

from spark_app import backtest, operations, stages

STAGES = tuple(stage.name for stage in stages.STAGES)
"""The names of the five stages, in their order."""

_OTHERS = (
    operations.BACKFILL,
    operations.STAGGERED_BACKFILL,
    operations.IMPORT_FILES,
    operations.REPUBLISH,
    operations.REPLAY,
    operations.FILL_TOPIC,
    backtest.BACKTEST,
)
DECLARED = {stage.name: stage for stage in (*stages.STAGES, *_OTHERS)}
