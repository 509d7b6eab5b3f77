"""What people look at: results, status, reasons, the page; read from the served tables alone, without Spark.

Begin with `show.py`: trends and portfolio as text; `served.py` reads them. `status/` and `explain/` each gather facts
and draw them; `page/` and `backtest/` are the two pages.
"""
