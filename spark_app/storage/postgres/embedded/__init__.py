"""The PostgreSQL server that runs while jobs do, for installations without DATABASE_URL.

Begin with `server.py`; `programs.py` finds the server's programs and the user that may run them.
"""
