"""Everything in Postgres: served tables, run log, locks, the throttle and the outbox; all SQL is here.

Begin with `publishing/publish.py`; `locks.py` lists all locks, `limiter.py` is the throttle as workers use it.
"""
