"""What a backtest gives: text, rows of tables and CSV files, JSON. Begin with `rows.py`; its page is in `results/`."""
