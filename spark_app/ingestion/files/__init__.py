"""The user's own files as a source: what they contain, reading and checking them, and what stages find of them.

Begin with `importing.py`; `layout.py` has the columns that docs/FILES.md documents.
"""
