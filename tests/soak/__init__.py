"""A kill -9 campaign over every job that writes: `python -m tests.soak --help`."""
