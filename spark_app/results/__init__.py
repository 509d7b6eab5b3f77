"""What people look at: results, status, reasons, the page; read from the served tables alone, without Spark.

Begin with `show.py`: trends and portfolio as text; `served.py` reads them. `status.py` and `explain.py` gather facts,
the `_text` modules beside them draw these.
"""
