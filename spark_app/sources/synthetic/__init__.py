"""A made-up market without network, the same for the same seed: for the demo, tests and load tests.

Read `source.py` first: it answers requests from `market.py` (listings) and `paths.py` (prices).
"""
