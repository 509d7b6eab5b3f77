"""What people look at: results, status, reasons, the page; read from the served tables alone, without Spark.

Begin with `show.py`: the latest trends and the portfolio as text.
"""
