"""Market data from outside: a source turns requests into typed answers, in Spark's Python workers.

Read `contract.py` first: requests, answers, and the limiter; then `worker.py`, which Spark runs.
"""
