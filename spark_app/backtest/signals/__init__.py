"""The signals: which funds or stocks are held when, from what was known at the time. Begin with `compute.py`."""
