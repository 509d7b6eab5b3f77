"""Settings, secrets and the paths of an installation.

Read `settings.py` first: every setting with its description, range and default; `page.py` makes the docs from it.
"""
