"""What a stage is: declared once, light enough for `--help`; what it runs is found by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_app.config.settings import Settings
    from spark_app.pipeline.request import Request
    from spark_app.pipeline.result import StageResult
    from spark_app.pipeline.run import Run


@dataclass(frozen=True)
class Stage:
    """A unit of work with a lock, a row in the run log, and rows to serve: a stage of the pipeline, or of another job.

    Attributes:
        name: as in `logs_pipeline_run.stage`; for a stage of the pipeline also the name of its job.
        description: one sentence for `--help` and `--list`.
        module: the module whose `run(run: Run) -> StageResult` does the work.
        parameters: what makes a finished stage another one; keys of `PARAMETERS`.
        fetches: whether it asks the source, and so writes to staging.
        works_alone: whether it runs only while no other run does, and keeps others from starting.
        takes_any_origin: whether it takes the kind of data that it finds, and does without staging.
        depends_on: the stages whose results it uses: where one of them ran later, it is pending again.
        reruns_after: other jobs that change what it uses: where one of them changed rows later, it is pending again.
    """

    name: str
    description: str
    module: str
    parameters: tuple[str, ...] = ()
    fetches: bool = False
    works_alone: bool = False
    takes_any_origin: bool = False
    depends_on: tuple[str, ...] = ()
    reruns_after: tuple[str, ...] = ()

    def run(self, run: Run) -> StageResult:
        """Do the work of the stage."""
        work: Callable[[Run], StageResult] = importlib.import_module(self.module).run
        return work(run)

    def parameters_of(self, request: Request, settings: Settings) -> dict[str, object]:
        """Return the parameters of this request, as `logs_pipeline_run.parameters` keeps them."""
        found: dict[str, object] = {}
        for name in self.parameters:
            found |= PARAMETERS[name](request, settings)
        for section, corrected in (("calendar", settings.calendar), ("corrections", settings.corrections)):
            if corrections := corrected.model_dump(mode="json", exclude_defaults=True):
                found[section] = corrections
        if request.tickers is not None:
            found["tickers"] = list(request.tickers)
        return found


PARAMETERS: Mapping[str, Callable[[Request, Settings], Mapping[str, object]]] = {
    "days": lambda request, _: {"days": request.days},
    "universe": lambda request, _: {"universe": request.universe},
    "holdings_provider": lambda _, settings: {"holdings_provider": settings.source.holdings_provider},
    "portfolio": lambda _, settings: settings.portfolio.model_dump(mode="json"),
    "files": lambda _, settings: settings.files.model_dump(mode="json"),
    "backtest": lambda request, settings: {
        **settings.backtest.model_dump(mode="json"),
        **settings.portfolio.model_dump(mode="json", include={"top_n_per_sector", "max_weight"}),
        "first_date": str(request.as_of_dates[0]) if request.as_of_dates else None,
        "no_trend_filter": request.no_trend_filter,
        "universe_file": request.universe_file,
    },
}
"""The parameters that a stage may declare, and where each comes from."""
