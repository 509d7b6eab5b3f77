"""Would following it have paid? The transforms' signals of all dates, and what a portfolio that trades them is worth.

Spark computes the signals in one pass. The engine and the statistics are plain NumPy on the driver: the path of one
portfolio is sequential, and no larger than sessions x tickers. Begin with `job.py`.
"""

from spark_app.pipeline.stage import Stage

BACKTEST = Stage(
    "backtest",
    "Backtest the rotation: equity, drawdown, turnover and costs beside equal weight and the benchmark.",
    "spark_app.backtest.job",
    parameters=("backtest",),
)
