"""Run one DAG run by `dag.test()` in Airflow's Python: `run_dag.py DAG_FILE LOGICAL_DATE RESULT [PATTERN]`.

Tasks whose name fits PATTERN are marked as done instead of run. RESULT becomes JSON: the state of the run, and of each
task all tries (state, when it began and ended, the delay and the reason of a retry).
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from airflow import settings
from airflow.models.taskinstancehistory import TaskInstanceHistory


def load_dag(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module.dag


def described(one_try: Any) -> dict[str, Any]:
    return {
        "state": one_try.state,
        "try_number": one_try.try_number,
        "started_at": one_try.start_date,
        "ended_at": one_try.end_date,
        "retry_delay_seconds": one_try.retry_delay_override,
        "retry_reason": one_try.retry_reason,
    }


def main(file: str, logical_date: str, result: str, pattern: str | None = None) -> None:
    moment = dt.datetime.fromisoformat(logical_date)
    run = load_dag(Path(file)).test(logical_date=moment, mark_success_pattern=pattern)
    history = settings.Session().query(TaskInstanceHistory).filter_by(dag_id=run.dag_id, run_id=run.run_id).all()
    tasks: dict[str, list[dict[str, Any]]] = {}
    for one_try in sorted([*history, *run.get_task_instances()], key=lambda one: (one.task_id, one.try_number)):
        tasks.setdefault(one_try.task_id, []).append(described(one_try))
    Path(result).write_text(json.dumps({"state": run.state, "tasks": tasks}, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
