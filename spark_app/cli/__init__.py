"""The command line: every job declared once, options, exit codes, interruption; `psql`, `db` and `show`.

Begin with `jobs.py`, the declarations; `main.py` runs one of them.
"""
