"""The morning page: one HTML file without a script, made from the served tables by statements that only read.

Begin with `facts.py`: what the page shows. `reading.py` reads it, `strength.py` computes the figures, `drawing.py` and
`rendering.py` make the file, `files.py` and `browser.py` store, photograph and open it.
"""
