"""Bringing data in: one verb, `ingest`, for charts, holdings and quotes.

Begin with `ingest.py`; what is particular to one kind of data is in `charts.py`, `holdings.py` and `quotes.py`.
"""
