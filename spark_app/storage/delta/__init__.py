"""Staging in Delta tables: append-only, with the time at which each row was fetched.

Begin with `staging.py`; `removal.py` is the only code that removes rows.
"""
