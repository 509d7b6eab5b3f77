"""Where a job begins."""

from __future__ import annotations

import sys

import pytest

from spark_app.cli.entry import start_job


class _Pressed:
    """Ctrl+C at the moment in which the command line is looked for."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "spark_app.cli.main":
            raise KeyboardInterrupt


def test_ctrl_c_during_the_imports_ends_the_job_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "spark_app.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Pressed(), *sys.meta_path])
    assert start_job("report") == 130
