"""The morning page: one HTML file without a script, made from the served tables by statements that only read.

Begin with `facts.py`: what the page shows. `reading.py` reads it, `strength.py` computes the figures, `drawing.py` and
`rendering.py` make the file, `browser.py` photographs and opens it. The page of a backtest shares `writing.py`,
`base.html.jinja`, `parts.html.jinja` and `page.css`.
"""
