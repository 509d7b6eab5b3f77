"""Pure functions on DataFrames and Columns: prices, returns, trends, market caps, weights; usable in a notebook.

Read `trends.py` first: a sector's trend from bars and sessions, with the other transforms one import away.
"""
