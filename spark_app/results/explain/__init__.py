"""The reasons: why a stock is held or left out, and why a sector trends. Begin with `explain.py`."""
