"""Publishing: computed rows into the served tables, compared, loaded and merged in one transaction.

Begin with `publish.py`.
"""
