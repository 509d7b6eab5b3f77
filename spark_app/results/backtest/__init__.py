"""The page of a backtest: one HTML file without a script, made of what the job found.

Begin with `facts.py`: what the page shows. `charts.py` and `rendering.py` make the file; `spark_app/results/page` has
what it shares with the morning page.
"""
