"""The state of things: how fresh, what failed, what the next run does. Begin with `status.py`."""
