"""Yahoo Finance through yfinance: charts, quotes, and the ten largest holdings of a fund.

Read `source.py` first: one method per kind of request; `chart.py` and `answers.py` parse the bodies.
"""
