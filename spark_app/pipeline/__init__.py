"""What a run and a stage are, and how a stage is executed.

Begin with `run.py` and `stage.py`; `execution.py` runs a stage, `sequence.py` several.
"""
